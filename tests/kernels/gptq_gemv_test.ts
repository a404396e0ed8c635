import { withGpu } from "../helpers.ts";
import { checkProduct } from "./gptq_matrix.ts";

for (const bits of [4, 8]) {
  Deno.test(`gptq_gemv: ${bits} bits, every group size, a short last group, 1 to 5 rows`, () =>
    withGpu(async (gpu) => {
      let rows = 0;
      for (const inFeatures of [192, 320]) { // 1.5 and 2.5 groups of 128
        for (const groupSize of [32, 64, 128, inFeatures]) {
          const shape = {
            bits,
            inFeatures,
            outFeatures: 72,
            groupSize,
            epilogue: "store",
          } as const;
          await checkProduct(gpu, "gptq_gemv", {
            ...shape,
            rows: rows++ % 5 + 1,
            slices: [[0, 72]],
          });
        }
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, every epilogue, outputs in slices`, () =>
    withGpu(async (gpu) => {
      for (const epilogue of ["store", "gelu", "add"] as const) {
        const shape = { bits, inFeatures: 192, outFeatures: 200, groupSize: 128, epilogue };
        // All of it; in three pieces; with a gap before, between and after.
        await checkProduct(gpu, "gptq_gemv", { ...shape, rows: 1, slices: [[0, 200]] });
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          rows: 3,
          slices: [[0, 72], [72, 120], [192, 8]],
        });
        await checkProduct(gpu, "gptq_gemv", { ...shape, rows: 2, slices: [[8, 40], [56, 136]] });
      }
    }));
}

Deno.test("gptq_gemv: the full model's inner dimensions", () =>
  withGpu(async (gpu) => {
    const shape = { outFeatures: 24, groupSize: 128, epilogue: "store" } as const;
    for (const inFeatures of [4544, 18176]) {
      for (const bits of [4, 8]) {
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          bits,
          inFeatures,
          rows: 2,
          slices: [[0, 24]],
        });
      }
    }
  }));
