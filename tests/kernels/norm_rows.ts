/** Rows for the kernels that normalise, and how well f32 can do on them. */
import { randomFloats } from "../helpers.ts";
import { layerNorm } from "../reference.ts";

/** The epsilon of every case. */
export const EPSILON = 1e-5;

/** Rows of `scale` times a normal-like number plus `offset`. */
export interface NormCase {
  what: string;
  hiddens: number[];
  scale: number;
  offset: number;
  /** NMSE that f32 excuses; a single number may be off by four times its square root. */
  limit: number;
}

/** 4544 numbers are more than any workgroup takes at once, four a thread. */
export const NORM_CASES: NormCase[] = [
  // One rounding of the mean, the scale and each product: some 1e-7 of a value, squared.
  { what: "ordinary rows", hiddens: [32, 64, 192, 320, 4544], scale: 2, offset: 0.5, limit: 1e-12 },
  // Variance 3e-8 under an epsilon of 1e-5: the epsilon decides.
  { what: "rows smaller than epsilon", hiddens: [192], scale: 3e-4, offset: 0, limit: 1e-12 },
  // The mean of numbers near 1000 is good to about 1000 * 2^-24 * 2 = 1e-4 against a deviation of
  // 0.6, squared: 4e-8. A difference of squares would be wrong in its second digit.
  { what: "a large mean", hiddens: [192, 4544], scale: 1, offset: 1000, limit: 1e-7 },
];

/** Rows to normalise, a weight around 1, a bias, and every row's LayerNorm in float64. */
export function normRows({ scale, offset }: NormCase, rows: number, hidden: number) {
  const x = randomFloats(rows * hidden, hidden, scale).map((value) => value + offset);
  const weight = randomFloats(hidden, 1).map((value) => value + 1);
  const bias = randomFloats(hidden, 2);
  const norm = { weight: Float64Array.from(weight), bias: Float64Array.from(bias) };
  const normed = Array.from({ length: rows }, (_, r) => {
    return layerNorm(Float64Array.from(x.subarray(r * hidden, (r + 1) * hidden)), norm, EPSILON);
  });
  return { x, weight, bias, normed };
}
