import { storageFrom } from "../../gpu/buffer.ts";
import { activationBytes } from "../../kernels/activation.ts";
import { layerNorm } from "../../kernels/layer_norm.ts";
import { poisoned, runPass, shuffled, withGpu } from "../helpers.ts";
import { assertChunks, readWords } from "./chunks.ts";
import { EPSILON, NORM_CASES, normRows } from "./norm_rows.ts";

for (const norm of NORM_CASES) {
  Deno.test(`layer_norm: ${norm.what}`, () =>
    withGpu(async (gpu) => {
      const rows = 3;
      for (const hidden of norm.hiddens) {
        const { x, weight, bias, normed } = normRows(norm, rows, hidden);
        const inOrder = Uint32Array.from({ length: hidden }, (_, i) => i);
        for (const perm of [inOrder, shuffled(hidden, 3)]) {
          const y = poisoned(gpu, "y", activationBytes(rows, hidden) / 4);
          const call = (await layerNorm(gpu, hidden, EPSILON)).bind({
            x: storageFrom(gpu, "x", x),
            weight: storageFrom(gpu, "weight", weight),
            bias: storageFrom(gpu, "bias", bias),
            perm: storageFrom(gpu, "perm", perm),
            y,
          });
          runPass(gpu, (pass) => call.dispatch(pass, rows));
          const expected = normed.flatMap((row) => [...perm].map((from) => row[from]));
          const error = 4 * Math.sqrt(norm.limit);
          assertChunks(
            await readWords(gpu, y, hidden),
            expected,
            error,
            `${norm.what}, hidden ${hidden}`,
          );
        }
      }
    }));
}
