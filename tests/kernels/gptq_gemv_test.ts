import { withGpu } from "../helpers.ts";
import { checkProduct } from "./gptq_matrix.ts";

/** With gelu the outputs are chunks of 32, and so are slices. */
const SHAPES = [
  { epilogue: "store", outFeatures: 200 },
  { epilogue: "add", outFeatures: 200 },
  { epilogue: "gelu", outFeatures: 224 },
] as const;

for (const bits of [4, 8]) {
  Deno.test(`gptq_gemv: ${bits} bits, every group size, a short last group, 1 to 5 rows`, () =>
    withGpu(async (gpu) => {
      let rows = 0;
      for (const inFeatures of [192, 320]) { // 1.5 and 2.5 groups of 128
        for (const groupSize of [32, 64, 128, inFeatures]) {
          await checkProduct(gpu, "gptq_gemv", {
            bits,
            inFeatures,
            outFeatures: 72,
            groupSize,
            epilogue: "store",
            rows: rows++ % 5 + 1,
            slices: [[0, 72]],
          });
        }
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, every epilogue, outputs in slices`, () =>
    withGpu(async (gpu) => {
      for (const { epilogue, outFeatures } of SHAPES) {
        const shape = { bits, inFeatures: 192, outFeatures, groupSize: 128, epilogue };
        const gelu = epilogue === "gelu";
        // All of it; in three pieces; with a gap before, between and after.
        await checkProduct(gpu, "gptq_gemv", { ...shape, rows: 1, slices: [[0, outFeatures]] });
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          rows: 3,
          slices: gelu ? [[0, 64], [64, 128], [192, 32]] : [[0, 72], [72, 120], [192, 8]],
        });
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          rows: 2,
          slices: gelu ? [[32, 32], [96, 96]] : [[8, 40], [56, 136]],
        });
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, weights, zeros and inputs at the ends of their ranges`, () =>
    withGpu(async (gpu) => {
      for (const epilogue of ["store", "add"] as const) {
        const shape = { bits, inFeatures: 192, outFeatures: 72, groupSize: 128, epilogue };
        const slices: [number, number][] = [[0, 72]];
        await checkProduct(gpu, "gptq_gemv", { ...shape, rows: 3, slices, extreme: true });
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, as many outputs as take few lanes each`, () =>
    withGpu(async (gpu) => {
      // 17 chunks of inputs: one more than lanes; and a workgroup short of outputs in each slice.
      const shape = { bits, inFeatures: 544, outFeatures: 16396, groupSize: 128 };
      const slices: [number, number][] = [[0, 8200], [8200, 8184], [16384, 12]];
      for (const epilogue of ["store", "add"] as const) {
        await checkProduct(gpu, "gptq_gemv", { ...shape, epilogue, rows: 1, slices });
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, the full model's inner dimensions`, () =>
    withGpu(async (gpu) => {
      // 18176 inputs take many lanes an output.
      for (const inFeatures of [4544, 8192, 18176]) {
        const shape = { bits, inFeatures, groupSize: 128, rows: 2 };
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          outFeatures: 36,
          epilogue: "store",
          slices: [[0, 24], [24, 12]],
        });
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          outFeatures: 36,
          epilogue: "add",
          slices: [[12, 20]],
        });
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          outFeatures: 64,
          epilogue: "gelu",
          slices: [[32, 32]],
        });
      }
    }));

  Deno.test(`gptq_gemv: ${bits} bits, every cut`, () =>
    withGpu(async (gpu) => {
      const shape = { bits, inFeatures: 4544, outFeatures: 36, groupSize: 128, rows: 2 };
      for (
        const cut of [
          { lanes: 16, threads: 64 },
          { lanes: 64, threads: 64 },
          { lanes: 64, threads: 256 },
          { lanes: 256, threads: 256 },
        ]
      ) {
        await checkProduct(gpu, "gptq_gemv", {
          ...shape,
          epilogue: "store",
          slices: [[0, 24], [24, 12]],
          cut,
        });
      }
    }));
}
