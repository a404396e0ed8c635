import { storageFrom } from "../../gpu/buffer.ts";
import { gatherRows } from "../../kernels/gather_rows.ts";
import { assertSame, poisoned, randomFloats, readFloats, runPass, withGpu } from "../helpers.ts";

Deno.test("gather_rows: rows in any order, some twice, of any width", () =>
  withGpu(async (gpu) => {
    const picked = [6, 0, 3, 3, 1];
    for (const width of [1, 63, 64, 65, 192]) {
      const x = randomFloats(7 * width, width);
      // One row more than is picked: it must stay as it was.
      const out = poisoned(gpu, "out", (picked.length + 1) * width);
      const call = (await gatherRows(gpu, width)).bind({
        x: storageFrom(gpu, "x", x),
        picked: storageFrom(gpu, "picked", new Uint32Array(picked)),
        out,
      });
      runPass(gpu, (pass) => call.dispatch(pass, picked.length));
      const expected = picked.flatMap((row) => [...x.subarray(row * width, (row + 1) * width)]);
      const untouched = new Array<number>(width).fill(NaN);
      assertSame(await readFloats(gpu, out), [...expected, ...untouched], `width ${width}`);
    }
  }));
