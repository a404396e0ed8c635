import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import { head, headRows } from "../../kernels/head.ts";
import { assertNmse, poisoned, randomFloats, readFloats, runPass, withGpu } from "../helpers.ts";

const VOCAB = 203;
const SLICES: [number, number][] = [[0, 77], [77, 1], [78, 112], [190, 13]];

for (const many of [false, true]) {
  const name = many ? "head for many rows" : "head";
  const sizes = many
    ? [[64, 1], [192, 8], [320, 19], [4544, 9]]
    : [[64, 1], [192, 3], [320, 2], [4544, 2]];
  Deno.test(`${name}: every logit of every row, the vocabulary in uneven slices`, () =>
    withGpu(async (gpu) => {
      for (const [hidden, rows] of sizes) {
        const table = new Float16Array(randomFloats(VOCAB * hidden, hidden));
        const x = randomFloats(rows * hidden, 1);
        const logits = poisoned(gpu, "logits", (rows + 1) * VOCAB);
        const xBuffer = storageFrom(gpu, "x", x);
        for (const [first, count] of SLICES) {
          const part = table.subarray(first * hidden, (first + count) * hidden);
          const buffers = {
            x: xBuffer,
            table: storageFrom(gpu, "table", part),
            logits,
            slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
          };
          const shape = { hidden, vocab: VOCAB };
          const call = many
            ? (await headRows(gpu, shape)).bind({
              ...buffers,
              rows: uniformFrom(gpu, "rows", new Uint32Array([99, rows, 0, 0])),
            })
            : (await head(gpu, shape)).bind(buffers);
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
        const limit = Math.max(1e-12, 4e-15 * hidden);
        const found = await readFloats(gpu, logits);
        assertNmse(
          found.subarray(0, expected.length),
          expected,
          limit,
          `hidden ${hidden}, ${rows} rows`,
        );
        assert(found.subarray(expected.length).every(Number.isNaN), "a row behind the last one");
      }
    }));
}
