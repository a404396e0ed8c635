/**
 * One pass over the scores for top-k, top-p or typical-p; `narrow` follows each.
 *
 * Knows its bindings and grid.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { PROBABILITY } from "./probability.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import { WIDE_INTEGER } from "./wide_integer.ts";
import code from "./truncate.wgsl" with { type: "text" };

const source = defineKernel({
  name: "truncate",
  code: WIDE_INTEGER + SAMPLING_ROWS + SAMPLING_STATE + PROBABILITY + code,
  bindings: {
    rows: "read",
    summaries: "read",
    cuts: "read",
    powers: "read",
    scores: "read_write",
    histogram: "read_write",
  },
});

/** Bytes of a row's entry in `histogram`, which is all zeros before the first pass. */
export const HISTOGRAM_BYTES = 4096 * 4;

/** Adds to `histogram`, (rows), what the row's next op asks for; dispatch(rows). */
export function truncate(gpu: Gpu, vocab: number) {
  return compileKernel(gpu, source, { VOCAB: vocab }, (rows: number) => [chunksOf(vocab), rows]);
}
