import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import { finalNorm } from "../../kernels/final_norm.ts";
import { assertNmse, assertSame, poisoned, readFloats, runPass, withGpu } from "../helpers.ts";
import { EPSILON, NORM_CASES, normRows } from "./norm_rows.ts";

for (const norm of NORM_CASES) {
  Deno.test(`final_norm: ${norm.what}, picked in any order, some twice`, () =>
    withGpu(async (gpu) => {
      const picked = [6, 0, 3, 3, 1];
      for (const hidden of norm.hiddens) {
        const { x, weight, bias, normed } = normRows(norm, 7, hidden);
        // One row more than is picked: it must stay as it was.
        const y = poisoned(gpu, "y", (picked.length + 1) * hidden);
        const halves = poisoned(gpu, "halves", (picked.length + 1) * hidden / 2);
        const call = (await finalNorm(gpu, hidden, EPSILON)).bind({
          x: storageFrom(gpu, "x", x),
          picked: storageFrom(gpu, "picked", new Uint32Array(picked)),
          weight: storageFrom(gpu, "weight", weight),
          bias: storageFrom(gpu, "bias", bias),
          y,
          halves,
        });
        runPass(gpu, (pass) => call.dispatch(pass, picked.length));
        const found = await readFloats(gpu, y);
        const rows = found.subarray(0, picked.length * hidden);
        const expected = picked.flatMap((row) => [...normed[row]]);
        assertNmse(rows, expected, norm.limit, `${norm.what}, hidden ${hidden}`);
        const rounded = new Float16Array(await readOnce(gpu, halves, picked.length * hidden * 2));
        assertSame(
          Float32Array.from(rounded),
          [...Float32Array.from(new Float16Array(rows))],
          "halves",
        );
        const untouched = new Array<number>(hidden).fill(NaN);
        assertSame(found.subarray(rows.length), untouched, `behind the last, hidden ${hidden}`);
      }
    }));
}
