/**
 * What both kernels of the head are held against: every logit in float64.
 *
 * Knows no kernel: it is given one.
 */
import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { BoundKernel } from "../../gpu/kernel.ts";
import { assertNmse, poisoned, randomFloats, readFloats, runPass } from "../helpers.ts";

const VOCAB = 203;
const SLICES: [number, number][] = [[0, 77], [77, 1], [78, 112], [190, 13]];

export interface HeadBuffers {
  x: GPUBuffer;
  table: GPUBuffer;
  logits: GPUBuffer;
  slice: GPUBuffer;
}

/** Computes all logits of `rows` random rows, the vocabulary in uneven slices. */
export async function checkHead(
  gpu: Gpu,
  hidden: number,
  rows: number,
  bind: (
    shape: { hidden: number; vocab: number },
    buffers: HeadBuffers,
  ) => Promise<BoundKernel<[entries: number, rows: number]>>,
  inHalves = false,
): Promise<void> {
  const table = new Float16Array(randomFloats(VOCAB * hidden, hidden));
  const floats = randomFloats(rows * hidden, 1);
  const x = inHalves ? new Float16Array(floats) : floats;
  const logits = poisoned(gpu, "logits", (rows + 1) * VOCAB);
  const xBuffer = storageFrom(gpu, "x", x);
  for (const [first, count] of SLICES) {
    const part = table.subarray(first * hidden, (first + count) * hidden);
    const call = await bind({ hidden, vocab: VOCAB }, {
      x: xBuffer,
      table: storageFrom(gpu, "table", part),
      logits,
      slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
    });
    runPass(gpu, (pass) => call.dispatch(pass, count, rows));
  }
  const expected = new Float64Array(rows * VOCAB);
  expected.forEach((_, i) => {
    const [row, entry] = [Math.floor(i / VOCAB), i % VOCAB];
    for (let k = 0; k < hidden; k++) {
      expected[i] += table[entry * hidden + k] * x[row * hidden + k];
    }
  });
  // Sums of products in f32, sixteen partial sums a logit: see gptq_matrix.ts.
  // In halves, four products are added as such: one part in 2048 each time, by 2 at random.
  const limit = inHalves ? 1e-6 : Math.max(1e-12, 4e-15 * hidden);
  const found = await readFloats(gpu, logits);
  const what = `hidden ${hidden}, ${rows} rows`;
  assertNmse(found.subarray(0, expected.length), expected, limit, what);
  assert(found.subarray(expected.length).every(Number.isNaN), `${what}, a row behind the last`);
}
