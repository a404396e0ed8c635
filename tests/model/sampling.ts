/** What the sampler's tests share: a sampler with its logits, and the float64 oracle beside it. */
import assert from "node:assert/strict";
import { storageBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Readback, readOnce } from "../../gpu/readback.ts";
import { GREEDY, type Sampling } from "../../model/engine.ts";
import { type SampledRow, Sampler, type SampleRow } from "../../model/sampler.ts";
import { readFloats } from "../helpers.ts";
import { type Processed, processLogits, type SamplingParams } from "../reference_sampling.ts";

/** Sampling with every step off but the draw. */
export const PLAIN: Readonly<Sampling> = { ...GREEDY, temperature: 1 };

export class SamplerRig {
  private constructor(
    private readonly gpu: Gpu,
    readonly vocab: number,
    readonly logits: GPUBuffer, // (rows, vocab)
    readonly sampler: Sampler,
    private readonly readback: Readback,
  ) {}

  static async create(
    gpu: Gpu,
    vocab: number,
    rows: number,
    steps = 1,
    shortlist = true,
  ): Promise<SamplerRig> {
    const logits = storageBuffer(gpu, "logits", rows * vocab * 4);
    const sampler = await Sampler.create(gpu, {
      vocabSize: vocab,
      maxRows: rows,
      slots: rows,
      logits,
      steps,
      shortlist,
    });
    const readback = await Readback.create(gpu, "sampled", steps * rows * sampler.resultBytes);
    return new SamplerRig(gpu, vocab, logits, sampler, readback);
  }

  /** Row i has logits `logits[i]` and is what `rows[i]` says. */
  run(logits: readonly Float32Array[], rows: readonly SampleRow[]): Promise<SampledRow[]> {
    const { queue } = this.gpu.device;
    for (const [i, row] of logits.entries()) {
      assert.equal(row.length, this.vocab);
      queue.writeBuffer(this.logits, i * this.vocab * 4, Float32Array.from(row));
    }
    return this.runSteps([rows]).then(([sampled]) => sampled);
  }

  /** Several steps in one submit, all on the logits that are there. */
  async runSteps(steps: readonly (readonly SampleRow[])[]): Promise<SampledRow[][]> {
    const { sampler, readback, gpu } = this;
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const [i, rows] of steps.entries()) {
      sampler.upload(rows, i);
      sampler.encode(pass, rows.length, i);
    }
    pass.end();
    const bytes = steps[0]!.length * sampler.resultBytes;
    for (const [i, { length }] of steps.entries()) {
      sampler.copyResults(encoder, readback, length, i * bytes, i);
    }
    gpu.device.queue.submit([encoder.finish()]);
    const results = await readback.read(steps.length * bytes);
    return steps.map((rows, i) => sampler.parse(results, rows, i * bytes));
  }

  /** The scores left after a step, row by row: -Infinity where a token was removed. */
  async scores(): Promise<Float32Array[]> {
    const { vocab } = this;
    const all = await readFloats(this.gpu, this.sampler.scores);
    const cuts = new Uint32Array(
      await readOnce(this.gpu, this.sampler.cuts, all.length / vocab * 32),
    );
    return Array.from({ length: all.length / vocab }, (_, r) => {
      // Scores below the cut, and at it those of lower ids, may not have been removed yet.
      const [low, lowId] = cuts.subarray(8 * r + 4);
      return all.slice(r * vocab, (r + 1) * vocab).map((score, id) => {
        const key = sortKey(score);
        return key < low! || key === low && id < lowId! ? -Infinity : score;
      });
    });
  }
}

/** The bits of a float, turned so that they order as the floats do; both zeros are one. */
function sortKey(score: number): number {
  const [bits] = new Uint32Array(new Float32Array([score === 0 ? 0 : score]).buffer);
  return (bits! & 0x80000000 ? ~bits! : bits! | 0x80000000) >>> 0;
}

/** A row of its own slot, with nothing asked for but a token. */
export function row(slot: number, sampling: Partial<Sampling>, rest: Partial<SampleRow> = {}) {
  return {
    slot,
    sampling: { ...PLAIN, ...sampling },
    drawIndex: 0,
    contextLength: 1,
    topTokens: 0,
    ...rest,
  };
}

/** The oracle, asked in our terms. */
export function expected(
  logits: Float32Array,
  sampling: Partial<Sampling>,
  prompt: number[] = [],
  generated: number[] = [],
): Processed {
  const s = { ...PLAIN, ...sampling };
  const params: SamplingParams = {
    repetition_penalty: s.repetitionPenalty,
    frequency_penalty: s.frequencyPenalty,
    frequency_scope: s.frequencyScope,
    presence_penalty: s.presencePenalty,
    logit_bias: Object.fromEntries(s.logitBias),
    temperature: s.temperature,
    top_k: s.topK,
    top_p: s.topP,
    min_p: s.minP,
    typical_p: s.typicalP,
  };
  return processLogits(logits, params, [...prompt, ...generated], generated);
}

/** Ids whose score was not removed. */
export function keptIds(scores: Float32Array): number[] {
  return [...scores.keys()].filter((id) => scores[id] > -Infinity);
}

export function assertClose(found: number, wanted: number, tolerance: number, what: string): void {
  const near = found === wanted || Math.abs(found - wanted) <= tolerance;
  assert(near, `${what}: ${found}, expected ${wanted}`);
}
