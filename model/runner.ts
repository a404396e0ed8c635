/**
 * One step on the GPU, or a chain of them: rows in, sampled tokens out.
 *
 * Knows the forward pass and the sampler, that one read back serves a whole chain, and that the
 * GPU can work while the rest of a chain is handed over and the commands of the next one are
 * encoded. Knows no queue and no request.
 */
import { Readback } from "../gpu/readback.ts";
import { FEW_ROWS } from "../kernels/gptq_tiles.ts";
import { type Falcon, settle } from "./falcon.ts";
import { type Needs, NO_NEEDS, type SampledRow, Sampler } from "./sampler.ts";
import type { Plan } from "./plan.ts";
import { MOST_CHAINED, type StepShape } from "./state.ts";

/** All that the commands of a plan depend on. */
interface Work {
  shape: StepShape;
  /** What the rows with logits need to be sampled. */
  needs: Needs;
  /** Of the steps chained to the first one. */
  chain: StepShape[];
  /** The sequence that is chained, 0 where none is: only its commands name a slot. */
  slot: number;
}

/** Commands kept for steps that did not come; the oldest goes first. */
const MOST_PREPARED = 4;

/** Milliseconds that a reader of a stream may wait for the tokens of a chain. */
const LONGEST_CHAIN = 15;

/** Milliseconds that a step may take while readers wait for their next tokens. */
const LONGEST_STEP = 40;

/** Rows of prompts in a step of which nobody knows yet how long a row takes. */
const FIRST_CHUNK = 32;

export class Runner {
  /** Token rows computed so far. */
  rows = 0;
  /** Steps that may be chained to one, as fast as the last ones were. */
  longestChain = 0;
  /** Steps so far, those of a chain one by one. */
  steps = 0;
  /** Rows that a step may have to end in time, as fast as the last ones were. */
  rowsInTime = FIRST_CHUNK;
  #prepared = new Map<string, GPUCommandBuffer[]>();

  private constructor(
    private readonly model: Falcon,
    private readonly sampler: Sampler,
    private readonly readback: Readback,
  ) {}

  /** @throws {GpuError} when the GPU refuses something. */
  static async create(model: Falcon, slots: number): Promise<Runner> {
    const { gpu, config, state } = model;
    const steps = MOST_CHAINED + 1;
    const sampler = await Sampler.create(gpu, {
      vocabSize: config.vocabSize,
      maxRows: state.limits.maxPicks,
      slots,
      logits: state.logits,
      steps,
      rowsThatFollow: 1,
    });
    const bytes = (state.limits.maxPicks + MOST_CHAINED) * sampler.resultBytes + 4;
    const readback = await Readback.create(gpu, "sampled", bytes);
    await settle(gpu);
    return new Runner(model, sampler, readback);
  }

  /**
   * Computes a plan and waits for it: the results of its samples, then of its chain.
   *
   * @throws {GpuError} when the GPU reported an error.
   */
  async step(plan: Plan): Promise<SampledRow[]> {
    const { gpu } = this.model;
    const { rows, samples, chain } = plan;
    const started = performance.now();
    const work = this.#upload(plan);
    const [first, ...chained] = this.#commands(work);
    gpu.device.queue.submit([first]);
    if (chained.length > 0) {
      // Apart from the first, on which the GPU is at work by now: a submit takes the longer the more
      // it holds.
      this.#uploadChain(plan);
      gpu.device.queue.submit(chained);
    }
    this.#prepareNext(plan, work);
    // Waiting also where nothing was sampled keeps a cancelled prompt from running on.
    const results = await this.readback.read(this.#endOf(samples.length, chain.length) + 4);
    this.rows += rows.length + chain.length;
    this.steps += 1 + chain.length;
    this.#pace(rows.length, (performance.now() - started) / (1 + chain.length));
    const sampled = samples.length > 0 ? this.sampler.parse(results, samples) : [];
    for (const [i, sample] of chain.entries()) {
      sampled.push(...this.sampler.parse(results, [sample], this.#endOf(samples.length, i)));
    }
    return this.#isBroken(plan, results) ? this.#fallBack(sampled) : sampled;
  }

  #upload({ rows, picks, samples, chain, starts }: Plan): Work {
    const { forward } = this.model;
    for (const { slot, prompt, logitBias } of starts) {
      this.sampler.reset(slot, prompt, [], logitBias);
    }
    const shape = forward.upload(rows, picks);
    const needs = samples.length > 0 ? this.sampler.upload(samples) : NO_NEEDS;
    const slot = chain.length > 0 ? rows[0].slot : 0;
    return { shape, needs, chain: this.#chainShapes(rows, chain.length), slot };
  }

  #uploadChain({ rows, chain }: Plan): void {
    const { state, kv } = this.model;
    for (const [i, sample] of chain.entries()) this.sampler.upload([sample], i + 1);
    state.uploadChain(rows[0], chain.length, kv.tableWidth);
  }

  #chainShapes(rows: Plan["rows"], length: number): StepShape[] {
    const { position } = rows[0];
    return Array.from({ length }, (_, i) => this.model.state.shapeOf(1, 1, position + 2 + i));
  }

  /**
   * The byte behind the results of a step and of those chained to it. After the last one comes the
   * word that says whether they hold.
   */
  #endOf(picks: number, chained: number): number {
    return (picks + chained) * this.sampler.resultBytes;
  }

  /** Learns from a step how many may be chained, or how many rows the next may have. */
  #pace(rows: number, milliseconds: number): void {
    if (rows === 1) {
      const steps = Math.floor(LONGEST_CHAIN / milliseconds);
      this.longestChain = Math.max(0, Math.min(MOST_CHAINED, steps - 1));
    } else if (rows > FEW_ROWS) {
      // Few rows take as long as some more would, so a step is at most twice as large as the last.
      const wanted = Math.floor(LONGEST_STEP * rows / milliseconds);
      this.rowsInTime = Math.max(FEW_ROWS, Math.min(wanted, 2 * Math.max(rows, this.rowsInTime)));
    }
  }

  /** Whether the workgroups of the persistent path waited in vain. */
  #isBroken({ rows, samples, chain }: Plan, results: ArrayBuffer): boolean {
    if (rows.length > 1 || !this.model.forward.persistent) return false;
    const at = this.#endOf(samples.length, chain.length);
    return new DataView(results).getUint32(at, true) !== 0;
  }

  /** From now on by the portable path; what this step computed is nothing. */
  #fallBack(sampled: SampledRow[]): SampledRow[] {
    this.model.forward.persistent = undefined;
    this.#prepared.clear();
    console.error("The persistent path broke off: its workgroups did not meet. Going on without.");
    return sampled.map((row) => ({ ...row, invalid: true }));
  }

  /** Takes the commands prepared for this work, or encodes them. */
  #commands(work: Work): GPUCommandBuffer[] {
    const key = JSON.stringify(work);
    const commands = this.#prepared.get(key) ?? this.#encode(work);
    this.#prepared.delete(key);
    return commands;
  }

  /** After a step in which everybody chose a token comes, most often, one that decodes them. */
  #prepareNext({ rows, samples, chain }: Plan, { needs }: Work): void {
    const chosen = new Set(samples.flatMap((row) => row.forced === undefined ? [row.slot] : []));
    // Of a prompt that goes on nobody knows how many rows come next.
    if (chosen.size === 0 || rows.some(({ slot }) => !chosen.has(slot))) return;
    const { size } = chosen;
    const last = rows.reduce((most, { position }) => Math.max(most, position), 0) + chain.length;
    const next = [{ token: 0, position: last + 1, slot: rows[0].slot }];
    const chained = size === 1 ? this.longestChain : 0;
    const work = {
      shape: this.model.state.shapeOf(size, size, last + 2),
      needs,
      chain: this.#chainShapes(next, chained),
      slot: chained > 0 ? rows[0].slot : 0,
    };
    const key = JSON.stringify(work);
    if (this.#prepared.has(key)) return;
    this.#prepared.set(key, this.#encode(work));
    const [oldest] = this.#prepared.keys();
    if (this.#prepared.size > MOST_PREPARED) this.#prepared.delete(oldest);
  }

  /**
   * A command buffer a step: a buffer that is written for the first time in one needs no barrier,
   * which is what lets kernels of one row overlap (`state.ts`).
   */
  #encode({ shape, needs, chain, slot }: Work): GPUCommandBuffer[] {
    const { gpu, forward, state } = this.model;
    return [shape, ...chain].map((one, i) => {
      const encoder = gpu.device.createCommandEncoder();
      if (i > 0) state.encodeChained(encoder, i - 1, this.sampler.sampled, slot);
      const pass = encoder.beginComputePass();
      forward.encode(pass, one);
      if (one.picks > 0) this.sampler.encode(pass, one.picks, i, needs);
      pass.end();
      if (one.picks > 0) {
        const at = i === 0 ? 0 : this.#endOf(shape.picks, i - 1);
        this.sampler.copyResults(encoder, this.readback, one.picks, at, i);
      }
      const broken = one.rows === 1 ? forward.persistent?.broken : undefined;
      if (broken && i === chain.length) {
        const at = this.#endOf(shape.picks, chain.length);
        this.readback.copy(encoder, broken.buffer, broken.offset, 4, at);
      }
      return encoder.finish();
    });
  }
}
