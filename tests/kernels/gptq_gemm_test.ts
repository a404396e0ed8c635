import { fewRows, type Tile } from "../../kernels/gptq_tiles.ts";
import { withGpu } from "../helpers.ts";
import { checkProduct } from "./gptq_matrix.ts";

/** Around the tile of 8 rows: one row, one short, full, one over, and many tiles and a bit. */
const ROWS = [1, 7, 8, 9, 130];

/** Not a multiple of the tile of 32; with gelu the outputs are chunks of 32. */
const SHAPES = [
  { epilogue: "store", outFeatures: 200 },
  { epilogue: "add", outFeatures: 200 },
  { epilogue: "gelu", outFeatures: 224 },
] as const;

const SHAPE = { inFeatures: 4544, outFeatures: 96, groupSize: 128 } as const;

/** Every kind of tile, the chosen ones among them: more rows than a round, two quads a thread, odd lanes. */
const TILES: [tile: Tile, epilogue: "store" | "gelu"][] = [
  [fewRows({ ...SHAPE, bits: 4, epilogue: "store" }), "store"],
  [fewRows({ ...SHAPE, bits: 4, inFeatures: 18176, epilogue: "store" }), "store"],
  [fewRows({ ...SHAPE, bits: 4, epilogue: "gelu" }), "gelu"],
  [{ rows: 4, outputs: 4, lanes: 16, threads: 128 }, "gelu"],
  [{ rows: 16, outputs: 4, lanes: 16, threads: 128 }, "gelu"],
  [{ rows: 8, outputs: 8, lanes: 16, threads: 128 }, "gelu"],
  [{ rows: 16, outputs: 8, lanes: 8, threads: 64 }, "gelu"],
];

for (const bits of [4, 8]) {
  Deno.test(`gptq_gemm: ${bits} bits, every tile, whatever numbers are stored as`, () =>
    withGpu(async (gpu) => {
      for (const [tile, epilogue] of TILES) {
        for (const numbers of ["int8", "int16", "f16"] as const) {
          // Written out for halves, larger ones take a CPU a minute to compile, and are not used.
          if (numbers === "f16" && tile.rows * tile.outputs > 32) continue;
          await checkProduct(gpu, "gptq_gemm", {
            ...SHAPE,
            bits,
            epilogue,
            tile,
            numbers,
            rows: 19,
            slices: [[0, 32], [32, 64]],
          });
        }
      }
    }));

  Deno.test(`gptq_gemm: ${bits} bits, every group size, a short last group, rows around a tile`, () =>
    withGpu(async (gpu) => {
      let turn = 0;
      for (const inFeatures of [192, 320]) { // 1.5 and 2.5 groups of 128
        for (const groupSize of [32, 64, 128, inFeatures]) {
          await checkProduct(gpu, "gptq_gemm", {
            bits,
            inFeatures,
            outFeatures: 72,
            groupSize,
            epilogue: "store",
            rows: ROWS[turn++ % ROWS.length],
            slices: [[0, 72]],
          });
        }
      }
    }));

  Deno.test(`gptq_gemm: ${bits} bits, every epilogue, outputs in slices`, () =>
    withGpu(async (gpu) => {
      for (const { epilogue, outFeatures } of SHAPES) {
        const shape = { bits, inFeatures: 192, outFeatures, groupSize: 128, epilogue };
        const gelu = epilogue === "gelu";
        // All of it; in three pieces; with a gap before, between and after.
        await checkProduct(gpu, "gptq_gemm", { ...shape, rows: 65, slices: [[0, outFeatures]] });
        await checkProduct(gpu, "gptq_gemm", {
          ...shape,
          rows: 63,
          slices: gelu ? [[0, 64], [64, 128], [192, 32]] : [[0, 72], [72, 120], [192, 8]],
        });
        await checkProduct(gpu, "gptq_gemm", {
          ...shape,
          rows: 3,
          slices: gelu ? [[32, 32], [96, 96]] : [[8, 40], [56, 136]],
        });
      }
    }));

  Deno.test(`gptq_gemm: ${bits} bits, weights, zeros and inputs at the ends of their ranges`, () =>
    withGpu(async (gpu) => {
      for (const epilogue of ["store", "add"] as const) {
        const shape = { bits, inFeatures: 192, outFeatures: 72, groupSize: 128, epilogue };
        const slices: [number, number][] = [[0, 72]];
        await checkProduct(gpu, "gptq_gemm", { ...shape, rows: 67, slices, extreme: true });
      }
    }));

  Deno.test(`gptq_gemm: ${bits} bits, the full model's inner dimensions`, () =>
    withGpu(async (gpu) => {
      for (const inFeatures of [4544, 18176]) {
        const shape = { bits, inFeatures, groupSize: 128, rows: 5 };
        await checkProduct(gpu, "gptq_gemm", {
          ...shape,
          outFeatures: 24,
          epilogue: "store",
          slices: [[0, 24]],
        });
        await checkProduct(gpu, "gptq_gemm", {
          ...shape,
          outFeatures: 64,
          epilogue: "gelu",
          slices: [[32, 32]],
        });
      }
    }));
}
