/**
 * One step of sampling: its parameters, its kernels in their order, and its results.
 *
 * Knows which kernel reads and writes what. Knows nothing of what the parameters mean.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import { choose, RESULT_BYTES } from "../kernels/choose.ts";
import { draw } from "../kernels/draw.ts";
import { narrow } from "../kernels/narrow.ts";
import { penalize } from "../kernels/penalize.ts";
import { select } from "../kernels/select.ts";
import { summarize } from "../kernels/summarize.ts";
import { topTokens } from "../kernels/top_tokens.ts";
import { truncate } from "../kernels/truncate.ts";
import { type Needs, NO_NEEDS, RowParameters, type SampleRow } from "./sample_row.ts";

/** What the kernels of every step share. */
export interface SamplingBuffers {
  logits: GPUBuffer; // (rows, vocab)
  scores: GPUBuffer; // (rows, vocab)
  parts: GPUBuffer; // (rows, chunks)
  summaries: GPUBuffer; // (rows)
  cuts: GPUBuffer; // (rows)
  histogram: GPUBuffer; // (rows, 4096)
  candidates: GPUBuffer; // (rows, 65, chunks)
  runners: GPUBuffer; // (rows, chunks)
  powers: GPUBuffer; // (256)
  counts: GPUBuffer; // (slots, vocab)
  biases: GPUBuffer; // (slots, vocab)
  sampled: GPUBuffer; // (slots)
}

type Kernels = Awaited<ReturnType<typeof bindKernels>>;

export class SamplingStep {
  #needs = NO_NEEDS;

  private constructor(
    private readonly gpu: Gpu,
    private readonly rows: RowParameters,
    private readonly parameters: GPUBuffer,
    private readonly kernels: Kernels,
    readonly results: GPUBuffer, // (rows)
  ) {}

  static async create(
    gpu: Gpu,
    vocab: number,
    maxRows: number,
    buffers: SamplingBuffers,
    shortlist: boolean,
  ): Promise<SamplingStep> {
    const rows = new RowParameters(maxRows, shortlist);
    const parameters = storageBuffer(gpu, "sampling parameters", rows.bytes.byteLength);
    const results = storageBuffer(gpu, "sampling results", maxRows * RESULT_BYTES);
    const kernels = await bindKernels(gpu, vocab, rows, parameters, buffers, results, shortlist);
    return new SamplingStep(gpu, rows, parameters, kernels, results);
  }

  upload(rows: readonly SampleRow[]): Needs {
    this.#needs = this.rows.write(rows);
    this.gpu.device.queue.writeBuffer(this.parameters, 0, this.rows.bytes);
    return this.#needs;
  }

  encode(pass: GPUComputePassEncoder, rows: number, needs = this.#needs): void {
    const { kernels } = this;
    kernels.penalize.dispatch(pass, rows);
    if (needs.shortlist) {
      kernels.select!.dispatch(pass, rows);
      return;
    }
    kernels.summarize.dispatch(pass, rows);
    for (let i = 0; i < needs.passes; i++) {
      kernels.truncate.dispatch(pass, rows);
      kernels.narrow.dispatch(pass, rows);
    }
    if (needs.draw) kernels.draw.dispatch(pass, rows);
    kernels.choose.dispatch(pass, rows);
    if (needs.lists) kernels.topTokens.dispatch(pass, rows);
  }
}

async function bindKernels(
  gpu: Gpu,
  vocab: number,
  { ranges }: RowParameters,
  parameters: GPUBuffer,
  buffers: SamplingBuffers,
  results: GPUBuffer,
  shortlist: boolean,
) {
  const { logits, scores, parts, candidates, summaries, cuts, histogram, runners } = buffers;
  const { powers, counts, biases, sampled } = buffers;
  const penalties = { buffer: parameters, ...ranges.penalties };
  const truncation = { buffer: parameters, ...ranges.truncation };
  const draws = { buffer: parameters, ...ranges.draw };
  const choices = { buffer: parameters, ...ranges.choice };
  const rows = { truncations: truncation, draws, choices };
  return {
    penalize: (await penalize(gpu, vocab))
      .bind({ rows: penalties, logits, counts, biases, scores, parts, candidates }),
    select: shortlist
      ? (await select(gpu, vocab)).bind({
        ...rows,
        parts,
        candidates,
        powers,
        logits,
        scores,
        cuts,
        results,
        counts,
        sampled,
      })
      : undefined,
    summarize: (await summarize(gpu, vocab))
      .bind({ rows: penalties, parts, summaries, cuts }),
    truncate: (await truncate(gpu, vocab))
      .bind({ rows: truncation, summaries, cuts, powers, scores, histogram }),
    narrow: (await narrow(gpu, vocab))
      .bind({ rows: truncation, summaries, scores, cuts, histogram }),
    draw: (await draw(gpu, vocab))
      .bind({ rows: draws, summaries, cuts, scores, runners }),
    choose: (await choose(gpu, vocab))
      .bind({ rows: choices, summaries, runners, logits, scores, results, counts, sampled }),
    topTokens: (await topTokens(gpu, vocab))
      .bind({ rows: choices, summaries, logits, scores, results }),
  };
}
