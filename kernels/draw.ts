/**
 * One token drawn from what is left of each row.
 *
 * Knows what a draw depends on: the seed, the place in the answer and the row's scores.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { RACE } from "./race.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import { WIDE_INTEGER } from "./wide_integer.ts";
import code from "./draw.wgsl" with { type: "text" };

const source = defineKernel({
  name: "draw",
  code: WIDE_INTEGER + SAMPLING_ROWS + SAMPLING_STATE + RACE + code,
  bindings: {
    rows: "read",
    summaries: "read",
    cuts: "read",
    scores: "read_write",
    runners: "read_write",
  },
});

export const DRAW_BYTES = 16;

export interface Draw {
  /** An integer from 0 to 2^53 - 1. */
  seed: number;
  /** Place of the token in the answer. */
  index: number;
  /** 0: nothing is drawn. */
  temperature: number;
}

/**
 * Removes what was cut from `scores`, (rows, vocab); `runners` gets (rows, chunks) entries for
 * `choose`. dispatch(rows).
 */
export function draw(gpu: Gpu, vocab: number) {
  const chunks = chunksOf(vocab);
  return compileKernel(
    gpu,
    source,
    { VOCAB: vocab, CHUNKS: chunks },
    (rows: number) => [chunks, rows],
  );
}

export function writeDraw(view: DataView, row: number, { seed, index, temperature }: Draw): void {
  const at = row * DRAW_BYTES;
  view.setUint32(at, seed % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(seed / 2 ** 32), true);
  view.setUint32(at + 8, index, true);
  view.setFloat32(at + 12, temperature, true);
}
