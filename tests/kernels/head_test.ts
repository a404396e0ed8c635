import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import { head } from "../../kernels/head.ts";
import { assertNmse, poisoned, randomFloats, readFloats, runPass, withGpu } from "../helpers.ts";

Deno.test("head: every logit of every row, the vocabulary in uneven slices", () =>
  withGpu(async (gpu) => {
    const vocab = 203;
    const slices = [[0, 77], [77, 1], [78, 112], [190, 13]];
    for (const [hidden, rows] of [[64, 1], [192, 3], [320, 2], [4544, 2]]) {
      const table = new Float16Array(randomFloats(vocab * hidden, hidden));
      const x = randomFloats(rows * hidden, 1);
      const logits = poisoned(gpu, "logits", rows * vocab);
      const xBuffer = storageFrom(gpu, "x", x);
      for (const [first, count] of slices) {
        const call = (await head(gpu, { hidden, vocab })).bind({
          x: xBuffer,
          table: storageFrom(
            gpu,
            "table",
            table.subarray(first * hidden, (first + count) * hidden),
          ),
          logits,
          slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
        });
        runPass(gpu, (pass) => call.dispatch(pass, count, rows));
      }
      const expected = new Float64Array(rows * vocab);
      expected.forEach((_, i) => {
        const [row, entry] = [Math.floor(i / vocab), i % vocab];
        for (let k = 0; k < hidden; k++) {
          expected[i] += table[entry * hidden + k] * x[row * hidden + k];
        }
      });
      // Sums of products in f32, sixteen partial sums a logit: see gptq_matrix.ts.
      const limit = Math.max(1e-12, 4e-15 * hidden);
      assertNmse(await readFloats(gpu, logits), expected, limit, `hidden ${hidden}, ${rows} rows`);
    }
  }));
