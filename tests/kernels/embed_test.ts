import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import { embed } from "../../kernels/embed.ts";
import { assertSame, poisoned, randomFloats, readFloats, runPass, withGpu } from "../helpers.ts";

Deno.test("embed: each slice fills the rows of its own tokens and leaves the others alone", () =>
  withGpu(async (gpu) => {
    const vocab = 50;
    const slices = [[0, 17], [17, 20], [37, 13]];
    const tokens = [36, 0, 17, 49, 16, 37, 0]; // the ends of every slice, and one token twice
    const rows = storageFrom(gpu, "rows", new Uint32Array(tokens.flatMap((t) => [t, 9, 9, 9])));
    for (const hidden of [2, 64, 192, 320]) {
      const table = new Float16Array(randomFloats(vocab * hidden, hidden, 10));
      table.set([65504, -0], 49 * hidden);
      const x = poisoned(gpu, "x", tokens.length * hidden);
      const expected = new Float32Array(tokens.length * hidden).fill(NaN);
      for (const [first, count] of slices) {
        const call = (await embed(gpu, hidden)).bind({
          rows,
          table: storageFrom(
            gpu,
            "table",
            table.subarray(first * hidden, (first + count) * hidden),
          ),
          x,
          slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
        });
        runPass(gpu, (pass) => call.dispatch(pass, tokens.length));
        tokens.forEach((token, row) => {
          if (token < first || token >= first + count) return;
          expected.set(table.subarray(token * hidden, (token + 1) * hidden), row * hidden);
        });
        // Every half-precision number is a single-precision one: equal, not close.
        assertSame(await readFloats(gpu, x), expected, `hidden ${hidden}, from ${first}`);
      }
    }
  }));
