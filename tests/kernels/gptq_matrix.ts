/**
 * Random quantised matrices for the kernels that multiply by them, and the product in float64.
 *
 * Knows the layout those kernels read, as `gptq_repack` documents it, written here a second time.
 * Knows no file format: `gptq_repack_test.ts` holds AutoGPTQ's.
 */
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { gptqGemm } from "../../kernels/gptq_gemm.ts";
import { gptqGemv } from "../../kernels/gptq_gemv.ts";
import type { MatrixShape } from "../../kernels/gptq_shape.ts";
import { assertNmse, randomFloats, readFloats, runPass, seededRandom } from "../helpers.ts";
import { gelu } from "../reference.ts";

/** W[n, k] = scales[n, k / groupSize] * (values[n, k] - zeros[n, k / groupSize]). */
export interface Matrix extends MatrixShape {
  groups: number;
  /** (outFeatures, inFeatures), 0 to 2^bits - 1. */
  values: Uint8Array;
  /** (outFeatures, groups). */
  scales: Float16Array<ArrayBuffer>;
  /** (outFeatures, groups), 1 to 2^bits: both ends are legal, and occur. */
  zeros: Uint16Array;
}

export function randomMatrix(shape: MatrixShape, seed: number): Matrix {
  const { bits, inFeatures, outFeatures, groupSize } = shape;
  const groups = Math.ceil(inFeatures / groupSize);
  const random = seededRandom(seed);
  const top = 2 ** bits;
  const integers = (length: number) => Array.from({ length }, () => Math.floor(random() * top));
  return {
    ...shape,
    groups,
    values: Uint8Array.from(integers(outFeatures * inFeatures)),
    // Products of about 1, where GELU bends.
    scales: Float16Array.from(
      { length: outFeatures * groups },
      () => (0.5 + random()) * 4 / top / Math.sqrt(inFeatures),
    ),
    zeros: Uint16Array.from(integers(outFeatures * groups), (zero) => zero + 1),
  };
}

/**
 * (count, inFeatures * bits / 32) words. A word of 8 bits holds inputs 0 to 3 from the low byte up;
 * one of 4 bits holds 0 to 3 in the low halves of its bytes and 4 to 7 in the high halves.
 */
export function packWeight(matrix: Matrix, first: number, count: number): Uint32Array<ArrayBuffer> {
  const { bits, inFeatures, values } = matrix;
  const bytes = new Uint8Array(count * inFeatures * bits / 8);
  for (let i = 0; i < count * inFeatures; i++) {
    const value = values[first * inFeatures + i];
    if (bits === 8) bytes[i] = value;
    else bytes[Math.floor(i / 8) * 4 + i % 4] |= i % 8 < 4 ? value : value << 4;
  }
  return new Uint32Array(bytes.buffer); // little-endian, as every machine that runs Deno
}

/** (outFeatures, groups) words: half-precision scale (low) and zero (high). */
export function packScalesAndZeros({ scales, zeros }: Matrix): Uint32Array<ArrayBuffer> {
  const halves = new Float16Array(2 * scales.length);
  scales.forEach((scale, i) => halves.set([scale, zeros[i]], 2 * i));
  return new Uint32Array(halves.buffer);
}

/** x W^T + bias in float64, (rows, outFeatures); x is (rows, inFeatures). */
export function multiply(matrix: Matrix, x: Float32Array, bias: Float32Array): Float64Array {
  const { inFeatures, outFeatures, groupSize, groups, values, scales, zeros } = matrix;
  const rows = x.length / inFeatures;
  const y = new Float64Array(rows * outFeatures);
  const weight = new Float64Array(inFeatures);
  for (let n = 0; n < outFeatures; n++) {
    for (let k = 0; k < inFeatures; k++) {
      const group = n * groups + Math.floor(k / groupSize);
      weight[k] = scales[group] * (values[n * inFeatures + k] - zeros[group]);
    }
    for (let r = 0; r < rows; r++) {
      let sum = bias[n];
      for (let k = 0; k < inFeatures; k++) sum += weight[k] * x[r * inFeatures + k];
      y[r * outFeatures + n] = sum;
    }
  }
  return y;
}

/** A product to compute, in slices of [first output, count]. */
export interface ProductCase extends MatrixShape {
  rows: number;
  slices: [first: number, count: number][];
}

/**
 * Runs `kernel` over the slices and compares the whole of y with `multiply`; outputs of no slice,
 * and a row behind the last, must keep what was there.
 *
 * Tolerance: adding K random products one after the other in f32 costs an NMSE of about 6e-16 K
 * (K / 2 roundings' worth, each 2^-24 / sqrt 3 of the sum so far); six times that, and never less
 * than 1e-12, which leaves room for the GELU fit's 1.2e-7.
 */
export async function checkProduct(
  gpu: Gpu,
  kernel: "gptq_gemv" | "gptq_gemm",
  { rows, slices, ...shape }: ProductCase,
): Promise<void> {
  const { inFeatures, outFeatures, epilogue } = shape;
  const matrix = randomMatrix(shape, 7);
  const x = randomFloats(rows * inFeatures, 1);
  const bias = randomFloats(outFeatures, 2, 0.5);
  const before = randomFloats((rows + 1) * outFeatures, 3); // one row more than there is work for
  const y = storageFrom(gpu, "y", before);
  const buffers = {
    x: storageFrom(gpu, "x", x),
    groups: storageFrom(gpu, "groups", packScalesAndZeros(matrix)),
    bias: storageFrom(gpu, "bias", bias),
    y,
  };
  const rowsUniform = uniformFrom(gpu, "rows", new Uint32Array([rows]));
  for (const [first, count] of slices) {
    const inputs = {
      ...buffers,
      weight: storageFrom(gpu, "weight", packWeight(matrix, first, count)),
      slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
    };
    const call = kernel === "gptq_gemv"
      ? (await gptqGemv(gpu, shape)).bind(inputs)
      : (await gptqGemm(gpu, shape)).bind({ ...inputs, rows: rowsUniform });
    runPass(gpu, (pass) => call.dispatch(pass, count, rows));
  }
  const product = multiply(matrix, x, bias);
  const expected = Float64Array.from(before, (old, i) => {
    const n = i % outFeatures;
    const sliced = slices.some(([first, count]) => n >= first && n < first + count);
    if (!sliced || i >= product.length) return old;
    if (epilogue === "add") return old + product[i];
    return epilogue === "gelu" ? gelu(product[i]) : product[i];
  });
  const limit = Math.max(1e-12, 4e-15 * inFeatures);
  const found = await readFloats(gpu, y);
  assertNmse(found, expected, limit, `${kernel} ${JSON.stringify({ rows, slices, ...shape })}`);
}
