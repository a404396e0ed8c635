/**
 * What a row keeps of its vocabulary, step by step; each pass of `truncate` is followed by this.
 *
 * Knows top-k, top-p, min-p and typical-p, their order, and how they become a row's program.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { ROW_EQUALS } from "./row_equals.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { SAMPLING_STATE } from "./sampling_state.ts";
import { TOP_P_CUT } from "./top_p.ts";
import { WIDE_INTEGER } from "./wide_integer.ts";
import code from "./narrow.wgsl" with { type: "text" };

const source = defineKernel({
  name: "narrow",
  code: WIDE_INTEGER + SAMPLING_ROWS + SAMPLING_STATE + TOP_P_CUT + ROW_EQUALS + code,
  bindings: {
    rows: "read",
    summaries: "read",
    scores: "read",
    cuts: "read_write",
    histogram: "read_write",
  },
});

export const TRUNCATION_BYTES = 40;

/** Ops of the WGSL (`sampling_rows.ts`): the three passes of a select, and those that stand alone. */
const TOP_K = [4, 5, 6];
const TOP_P = [8, 9, 10];
const FLOOR = 2;
const MEAN = 1;
const TYPICAL = [12, 13, 14];
const APPLY = 15;

/** The largest fraction with 32 bits. */
const BELOW_ONE = 1 - 2 ** -32;

/** Neutral values switch a step off: 0 for `topK` and `minP`, 1 for `topP` and `typicalP`. */
export interface Truncation {
  /** Above 0. */
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  typicalP: number;
}

/** Moves each row on by one op of its program; dispatch(rows). */
export function narrow(gpu: Gpu, vocab: number) {
  return compileKernel(gpu, source, { VOCAB: vocab }, (rows: number) => [rows]);
}

/** The ops of a row, in Hugging Face's order: one pass of `truncate` and `narrow` each. */
export function truncationProgram({ topK, topP, minP, typicalP }: Truncation): number[] {
  return [
    ...(topK > 0 ? TOP_K : []),
    ...(topP < 1 ? TOP_P : []),
    ...(minP > 0 ? [FLOOR] : []),
    ...(typicalP < 1 ? [MEAN, ...TYPICAL, APPLY] : []),
  ];
}

export function writeTruncation(view: DataView, row: number, truncation: Truncation): void {
  const { temperature, topK, topP, minP, typicalP } = truncation;
  const at = row * TRUNCATION_BYTES;
  const words = [0, 0];
  for (const [i, op] of truncationProgram(truncation).entries()) {
    words[i >> 3] |= op << 4 * (i & 7);
  }
  const drop = fraction(Math.min(1 - topP, BELOW_ONE), Math.ceil);
  const rest = fraction(Math.min(1 - typicalP, BELOW_ONE), Math.ceil);
  const scale = fraction(Math.LOG2E / temperature, Math.round);
  view.setUint32(at, words[0], true);
  view.setUint32(at + 4, words[1], true);
  view.setUint32(at + 8, drop.bits, true);
  view.setUint32(at + 12, drop.shift, true);
  view.setUint32(at + 16, rest.bits, true);
  view.setUint32(at + 20, rest.shift, true);
  view.setUint32(at + 24, Math.min(topK, 0xffffffff), true);
  // p >= minP * largest p, as a distance between scores.
  view.setFloat32(at + 28, temperature * Math.max(0, -Math.log(minP || 1)), true);
  view.setUint32(at + 32, scale.bits, true);
  view.setInt32(at + 36, 130 + scale.shift, true);
}

/** `value` = bits / 2^32 / 2^shift, with the highest of 32 bits set. */
function fraction(value: number, round: (bits: number) => number) {
  if (value <= 0) return { bits: 0, shift: 0 };
  const shift = -Math.floor(Math.log2(value)) - 1;
  const bits = round(value * 2 ** (32 + shift));
  return { bits: Math.min(bits, 0xffffffff), shift };
}
