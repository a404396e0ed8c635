/**
 * Lists of a row's most probable tokens.
 *
 * Knows its bindings and grid; `choose` runs before it and knows the layout of its results.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { RESULT } from "./outcome.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { SAMPLING_STATE } from "./sampling_state.ts";
import code from "./top_tokens.wgsl" with { type: "text" };

const source = defineKernel({
  name: "top_tokens",
  code: SAMPLING_ROWS + SAMPLING_STATE + RESULT + code,
  bindings: {
    rows: "read",
    summaries: "read",
    logits: "read",
    scores: "read",
    results: "read_write",
  },
});

/** Fills both lists of each row of `results`; `rows` are the `Choice`s. dispatch(rows). */
export function topTokens(gpu: Gpu, vocab: number) {
  return compileKernel(gpu, source, { VOCAB: vocab }, (rows: number) => [2, rows]);
}
