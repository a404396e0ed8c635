import assert from "node:assert/strict";
import { uniformFrom } from "../../gpu/buffer.ts";
import { headRows } from "../../kernels/head_rows.ts";
import { withGpu } from "../helpers.ts";
import { checkHead } from "./head_product.ts";

for (const inHalves of [false, true]) {
  const how = inHalves ? ", in half precision" : "";
  Deno.test(`head_rows: every logit of every row, around the tile of eight rows${how}`, () =>
    withGpu(async (gpu) => {
      assert(gpu.halves);
      for (const [hidden, rows] of [[64, 1], [192, 8], [320, 19], [4544, 9]]) {
        // The rows of the step are another number.
        const counts = uniformFrom(gpu, "rows", new Uint32Array([99, rows, 0, 0]));
        await checkHead(
          gpu,
          hidden,
          rows,
          async (shape, buffers) =>
            (await headRows(gpu, shape, inHalves)).bind({ ...buffers, rows: counts }),
          inHalves,
        );
      }
    }));
}
