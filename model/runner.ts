/**
 * One step on the GPU: rows in, sampled tokens out.
 *
 * Knows the forward pass and the sampler, that one submit and one read back make a step, and that
 * the commands of the next one can be encoded while the GPU works. Knows no queue and no request.
 */
import { Readback } from "../gpu/readback.ts";
import { type Falcon, settle } from "./falcon.ts";
import { type Needs, type SampledRow, Sampler } from "./sampler.ts";
import type { Plan } from "./scheduler.ts";
import type { StepShape } from "./state.ts";

/** All that the commands of a step depend on. */
interface Work {
  shape: StepShape;
  /** What the rows with logits need to be sampled. */
  needs: Needs;
}

const NO_NEEDS: Needs = { passes: 0, draw: false, lists: false };

/** Commands kept for steps that did not come; the oldest goes first. */
const MOST_PREPARED = 4;

export class Runner {
  /** Token rows computed so far. */
  rows = 0;
  #prepared = new Map<string, GPUCommandBuffer>();

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
    const readback = await Readback.create(gpu, "sampled", sampler.resultBytes + 4);
    await settle(gpu);
    return new Runner(model, sampler, readback);
  }

  /**
   * Computes a plan and waits for it.
   *
   * @throws {GpuError} when the GPU reported an error.
   */
  async step(plan: Plan): Promise<SampledRow[]> {
    const { forward, gpu } = this.model;
    const { rows, picks, samples, starts } = plan;
    for (const { slot, prompt, logitBias } of starts) {
      this.sampler.reset(slot, prompt, [], logitBias);
    }
    const shape = forward.upload(rows, picks);
    const needs = samples.length > 0 ? this.sampler.upload(samples) : NO_NEEDS;
    gpu.device.queue.submit([this.#commands({ shape, needs })]);
    this.#prepareNext(plan, needs);
    // Waiting also where nothing was sampled keeps a cancelled prompt from running on.
    const results = await this.readback.read(this.sampler.resultBytes + 4);
    this.rows += rows.length;
    const sampled = samples.length > 0 ? this.sampler.parse(results, samples) : [];
    return this.#isBroken(plan, results) ? this.#fallBack(sampled) : sampled;
  }

  /** Whether the workgroups of the persistent path waited in vain. */
  #isBroken({ rows }: Plan, results: ArrayBuffer): boolean {
    if (rows.length > 1 || !this.model.forward.persistent) return false;
    return new DataView(results).getUint32(this.sampler.resultBytes, true) !== 0;
  }

  /** From now on by the portable path; what this step computed is nothing. */
  #fallBack(sampled: SampledRow[]): SampledRow[] {
    this.model.forward.persistent = undefined;
    this.#prepared.clear();
    console.error("The persistent path broke off: its workgroups did not meet. Going on without.");
    return sampled.map((row) => ({ ...row, invalid: true }));
  }

  /** Takes the commands prepared for this work, or encodes them. */
  #commands(work: Work): GPUCommandBuffer {
    const key = JSON.stringify(work);
    const commands = this.#prepared.get(key) ?? this.#encode(work);
    this.#prepared.delete(key);
    return commands;
  }

  /** After a step that chose tokens comes, most often, one that decodes them. */
  #prepareNext({ rows, samples }: Plan, needs: Needs): void {
    const chosen = samples.filter(({ forced }) => forced === undefined).length;
    if (chosen === 0 || chosen < samples.length) return;
    const longest = rows.reduce((most, { position }) => Math.max(most, position), 0) + 2;
    const work = { shape: this.model.state.shapeOf(chosen, chosen, longest), needs };
    const key = JSON.stringify(work);
    if (this.#prepared.has(key)) return;
    this.#prepared.set(key, this.#encode(work));
    const [oldest] = this.#prepared.keys();
    if (this.#prepared.size > MOST_PREPARED) this.#prepared.delete(oldest);
  }

  #encode({ shape, needs }: Work): GPUCommandBuffer {
    const encoder = this.model.gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.model.forward.encode(pass, shape);
    if (shape.picks > 0) this.sampler.encode(pass, shape.picks, 0, needs);
    pass.end();
    if (shape.picks > 0) this.sampler.copyResults(encoder, this.readback);
    const broken = shape.rows === 1 ? this.model.forward.persistent?.broken : undefined;
    if (broken) {
      this.readback.copy(encoder, broken.buffer, broken.offset, 4, this.sampler.resultBytes);
    }
    return encoder.finish();
  }
}
