/**
 * Random quantised matrices for the kernels that multiply by them, and the product in float64.
 *
 * Knows the layout of weights, scales and zeros, as `gptq_repack` documents it, written here a
 * second time; `chunks.ts` has that of x. Knows no file format: `gptq_repack_test.ts` holds
 * AutoGPTQ's.
 */
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { activationBytes, CHUNK, CHUNK_WORDS, type Numbers } from "../../kernels/activation.ts";
import { gptqGemm } from "../../kernels/gptq_gemm.ts";
import { type GemvCut, gptqGemv } from "../../kernels/gptq_gemv.ts";
import type { MatrixShape } from "../../kernels/gptq_shape.ts";
import { MANY_ROWS, type Tile } from "../../kernels/gptq_tiles.ts";
import {
  assertNmse,
  assertSame,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  seededRandom,
} from "../helpers.ts";
import { gelu } from "../reference.ts";
import { assertChunks, byPart, packChunks, readWords, unpackChunks } from "./chunks.ts";

/** W[n, k] = scales[n, k / groupSize] * (values[n, k] - zeros[n, k / groupSize]). */
interface Matrix extends MatrixShape {
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
 * Every weight at one end of its range and every zero at the other, so that the integers on the way
 * are as large as they can be: even outputs as negative, odd ones as positive as possible.
 */
function extremeMatrix(shape: MatrixShape, seed: number): Matrix {
  const matrix = randomMatrix(shape, seed);
  const top = 2 ** shape.bits;
  const odd = (i: number, width: number) => Math.floor(i / width) % 2 === 1;
  return {
    ...matrix,
    values: matrix.values.map((_, i) => odd(i, shape.inFeatures) ? top - 1 : 0),
    zeros: matrix.zeros.map((_, i) => odd(i, matrix.groups) ? 1 : top),
  };
}

/**
 * (count, inFeatures * bits / 32) words. A word of 8 bits holds inputs 0 to 3 less 128, as signed
 * bytes from the low one up; one of 4 bits holds 0 to 3 in the low halves of its bytes and 4 to 7
 * in the high halves.
 */
export function packWeight(matrix: Matrix, first: number, count: number): Uint32Array<ArrayBuffer> {
  const { bits, inFeatures, values } = matrix;
  const bytes = new Uint8Array(count * inFeatures * bits / 8);
  for (let i = 0; i < count * inFeatures; i++) {
    const value = values[first * inFeatures + i];
    if (bits === 8) bytes[i] = value - 128;
    else bytes[Math.floor(i / 8) * 4 + i % 4] |= i % 8 < 4 ? value : value << 4;
  }
  return new Uint32Array(bytes.buffer); // little-endian, as every machine that runs Deno
}

/** (outFeatures, groups) words: half-precision scale (low) and zero (high), less 128 at 8 bits. */
export function packScalesAndZeros({ bits, scales, zeros }: Matrix): Uint32Array<ArrayBuffer> {
  const halves = new Float16Array(2 * scales.length);
  const less = bits === 8 ? 128 : 0;
  scales.forEach((scale, i) => halves.set([scale, zeros[i] - less], 2 * i));
  return new Uint32Array(halves.buffer);
}

/** x W^T + bias in float64, (rows, outFeatures); x is (rows, inFeatures). */
export function multiply(matrix: Matrix, x: Float64Array, bias: Float32Array): Float64Array {
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
  /** Weights, zeros and inputs at the ends of their ranges, instead of random ones. */
  extreme?: boolean;
  /** Of gptq_gemm. */
  tile?: Tile;
  /** Of gptq_gemv; without it, the one it chooses. */
  cut?: GemvCut;
}

/**
 * What f32 excuses, as an NMSE.
 *
 * gptq_gemv multiplies whole numbers exactly and rounds each chunk of 32 inputs a few times, some
 * 2^-24: 1e-14 with some tens of them in one sum; ten times that.
 *
 * In gptq_gemm, adding K random products one after the other costs about 6e-16 K (K / 2 roundings'
 * worth, each 2^-24 / sqrt 3 of the sum so far); six times that, and never less than 1e-12. Equal
 * products, as at the extremes, can all be rounded the same way: 192 of them by 192 * 2^-24 / 4.
 */
function limitOf(kernel: string, inFeatures: number, extreme: boolean, numbers: Numbers): number {
  if (numbers === "f16") return 3e-6;
  if (kernel === "gptq_gemv") return 1e-13;
  return extreme ? 1e-11 : Math.max(1e-12, 4e-15 * inFeatures);
}

/**
 * Runs `kernel` over the slices and compares the whole of y with `multiply` of the very numbers
 * that the chunks of x hold; outputs of no slice, and a row behind the last, must keep what was
 * there.
 *
 * Tolerance (NMSE): `limitOf`, and with gelu, where y is chunks, half a step of those on top of
 * what f32 may do to a single number, six times the average.
 */
export async function checkProduct(
  gpu: Gpu,
  kernel: "gptq_gemv" | "gptq_gemm",
  { rows, slices, extreme = false, tile = MANY_ROWS, cut, ...shape }: ProductCase,
): Promise<void> {
  const { inFeatures, outFeatures, epilogue } = shape;
  const matrix = extreme ? extremeMatrix(shape, 7) : randomMatrix(shape, 7);
  const x = randomFloats(rows * inFeatures, 1);
  // Rows of one number: the largest whole number of either sign all along, or zero.
  if (extreme) x.forEach((_, i) => x[i] = [-3, 3, 0][Math.floor(i / inFeatures) % 3]);
  const numbers = shape.numbers ?? "int16";
  const chunks = packChunks(x, numbers);
  const bias = randomFloats(outFeatures, 2, 0.5);
  const buffers = {
    x: storageFrom(gpu, "x", byPart(chunks, inFeatures)),
    groups: storageFrom(gpu, "groups", packScalesAndZeros(matrix)),
    bias: storageFrom(gpu, "bias", bias),
  };
  // One row more than there is work for.
  const before = randomFloats((rows + 1) * outFeatures, 3);
  const y = epilogue === "gelu"
    ? poisoned(gpu, "y", activationBytes(rows + 1, outFeatures) / 4)
    : storageFrom(gpu, "y", before);
  const rowsUniform = uniformFrom(gpu, "rows", new Uint32Array([rows]));
  for (const [first, count] of slices) {
    const inputs = {
      ...buffers,
      y,
      weight: storageFrom(gpu, "weight", packWeight(matrix, first, count)),
      slice: uniformFrom(gpu, "slice", new Uint32Array([first, count])),
    };
    const call = kernel === "gptq_gemv"
      ? (await gptqGemv(gpu, shape, cut)).bind({
        ...inputs,
        early1: inputs.groups,
        early2: inputs.groups,
      })
      : (await gptqGemm(gpu, shape, tile)).bind({
        ...inputs,
        rows: rowsUniform,
        early1: inputs.groups,
        early2: inputs.groups,
      });
    runPass(gpu, (pass) => call.dispatch(pass, count, rows));
  }
  const product = multiply(matrix, unpackChunks(chunks, "x", numbers).values, bias);
  const limit = limitOf(kernel, inFeatures, extreme, numbers);
  const what = `${kernel} ${JSON.stringify({ rows, slices, extreme, tile, cut, ...shape })}`;
  const written = (i: number) => {
    const n = i % outFeatures;
    const sliced = slices.some(([first, count]) => n >= first && n < first + count);
    return sliced && i < product.length;
  };
  if (epilogue === "gelu") {
    const words = await readWords(gpu, y, outFeatures);
    checkChunks(words, product.map(gelu), written, 6 * Math.sqrt(limit), what, numbers);
    return;
  }
  const found = await readFloats(gpu, y);
  const expected = Float64Array.from(before, (old, i) => {
    if (!written(i)) return old;
    return epilogue === "add" ? old + product[i] : product[i];
  });
  const kept = (_: number, i: number) => !written(i);
  assertSame(found.filter(kept), before.filter(kept), `${what}, what no slice owns`);
  assertNmse(found, expected, limit, what);
}

/** Compares the chunks of written outputs; the others must be poison still. */
function checkChunks(
  words: Uint32Array,
  expected: Float64Array,
  written: (i: number) => boolean,
  error: number,
  what: string,
  numbers: Numbers,
): void {
  const mine: number[] = [];
  const values: number[] = [];
  for (let chunk = 0; chunk < words.length / CHUNK_WORDS; chunk++) {
    const found = words.subarray(CHUNK_WORDS * chunk, CHUNK_WORDS * (chunk + 1));
    if (written(CHUNK * chunk)) {
      mine.push(...found);
      values.push(...expected.subarray(CHUNK * chunk, CHUNK * (chunk + 1)));
    } else {
      assertSame(found, new Array(CHUNK_WORDS).fill(0x7fc00000), `${what}, chunk ${chunk} unowned`);
    }
  }
  assertChunks(Uint32Array.from(mine), values, error, what, numbers);
}
