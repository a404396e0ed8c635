/**
 * The parts that `penalize` leaves of a row, put together.
 *
 * Knows its bindings and grid. Knows nothing of the vocabulary but in how many chunks it came.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { ROW_SUMMARY } from "./row_summary.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import code from "./summarize.wgsl" with { type: "text" };

const source = defineKernel({
  name: "summarize",
  code: SAMPLING_ROWS + SAMPLING_STATE + ROW_SUMMARY + code,
  bindings: { rows: "read", parts: "read", summaries: "read_write", cuts: "read_write" },
});

/** Writes `summaries`, (rows), and resets `cuts`, (rows); `rows` are the `Penalties`. */
export function summarize(gpu: Gpu, vocab: number) {
  return compileKernel(gpu, source, { CHUNKS: chunksOf(vocab) }, (rows: number) => [rows]);
}
