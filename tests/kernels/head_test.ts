import { head } from "../../kernels/head.ts";
import { withGpu } from "../helpers.ts";
import { checkHead } from "./head_product.ts";

Deno.test("head: every logit of every row, the vocabulary in uneven slices", () =>
  withGpu(async (gpu) => {
    for (const [hidden, rows] of [[64, 1], [192, 3], [320, 2], [4544, 2]]) {
      await checkHead(
        gpu,
        hidden,
        rows,
        async (shape, buffers) => (await head(gpu, shape)).bind(buffers),
      );
    }
  }));
