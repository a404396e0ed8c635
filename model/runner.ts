/**
 * One step on the GPU: rows in, sampled tokens out.
 *
 * Knows the forward pass and the sampler and that one submit and one read back make a step. Knows
 * no queue and no request.
 */
import { Readback } from "../gpu/readback.ts";
import { type Falcon, settle } from "./falcon.ts";
import { type SampledRow, Sampler } from "./sampler.ts";
import type { Plan } from "./scheduler.ts";

export class Runner {
  /** Token rows computed so far. */
  rows = 0;

  private constructor(
    private readonly model: Falcon,
    private readonly sampler: Sampler,
    private readonly readback: Readback,
  ) {}

  /** @throws {GpuError} when the GPU refuses something. */
  static async create(model: Falcon, slots: number): Promise<Runner> {
    const { gpu, config, state } = model;
    const sampler = await Sampler.create(gpu, {
      vocabSize: config.vocabSize,
      maxRows: state.limits.maxPicks,
      slots,
      logits: state.logits,
    });
    const readback = await Readback.create(gpu, "sampled", sampler.resultBytes);
    await settle(gpu);
    return new Runner(model, sampler, readback);
  }

  /**
   * Computes a plan and waits for it.
   *
   * @throws {GpuError} when the GPU reported an error.
   */
  async step(plan: Plan): Promise<SampledRow[]> {
    const { device } = this.model.gpu;
    const { rows, picks, samples, starts } = plan;
    for (const { slot, prompt } of starts) this.sampler.reset(slot, prompt);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.model.forward.encode(pass, rows, picks);
    if (samples.length > 0) {
      this.sampler.upload(samples);
      this.sampler.encode(pass, samples.length);
    }
    pass.end();
    if (samples.length > 0) this.sampler.copyResults(encoder, this.readback);
    device.queue.submit([encoder.finish()]);
    // Waiting also where nothing was sampled keeps a cancelled prompt from running on.
    const results = await this.readback.read(this.sampler.resultBytes);
    this.rows += rows.length;
    return samples.length > 0 ? this.sampler.parse(results, samples) : [];
  }
}
