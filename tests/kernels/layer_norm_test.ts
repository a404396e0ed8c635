import { storageFrom } from "../../gpu/buffer.ts";
import { layerNorm } from "../../kernels/layer_norm.ts";
import {
  assertNmse,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  shuffled,
  withGpu,
} from "../helpers.ts";

const EPSILON = 1e-5;

/** Layer normalisation of one row in float64: population variance, as in the paper. */
function normalise(
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
  epsilon: number,
): number[] {
  const values = Array.from(x);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const deviation = Math.sqrt(variance + epsilon);
  return values.map((value, i) => (value - mean) / deviation * weight[i] + bias[i]);
}

/** What is normalised: rows of `scale` times a normal-like number plus `offset`. */
interface Case {
  what: string;
  hiddens: number[];
  scale: number;
  offset: number;
  limit: number;
}

const CASES: Case[] = [
  // One rounding of the mean, the scale and each product: some 1e-7 of a value, squared.
  { what: "ordinary rows", hiddens: [2, 64, 192, 320, 4544], scale: 2, offset: 0.5, limit: 1e-12 },
  // Variance 3e-8 under an epsilon of 1e-5: the epsilon decides.
  { what: "rows smaller than epsilon", hiddens: [192], scale: 3e-4, offset: 0, limit: 1e-12 },
  // The mean of numbers near 1000 is good to about 1000 * 2^-24 * 2 = 1e-4 against a deviation of
  // 0.6, squared: 4e-8. A difference of squares would be wrong in its second digit.
  { what: "a large mean", hiddens: [192, 4544], scale: 1, offset: 1000, limit: 1e-7 },
];

for (const { what, hiddens, scale, offset, limit } of CASES) {
  Deno.test(`layer_norm: ${what}`, () =>
    withGpu(async (gpu) => {
      const rows = 3;
      for (const hidden of hiddens) {
        const x = randomFloats(rows * hidden, hidden, scale).map((value) => value + offset);
        const weight = randomFloats(hidden, 1).map((value) => value + 1);
        const bias = randomFloats(hidden, 2);
        const inOrder = Uint32Array.from({ length: hidden }, (_, i) => i);
        for (const perm of [inOrder, shuffled(hidden, 3)]) {
          const out = poisoned(gpu, "out", rows * hidden);
          const call = (await layerNorm(gpu, hidden, EPSILON)).bind({
            x: storageFrom(gpu, "x", x),
            weight: storageFrom(gpu, "weight", weight),
            bias: storageFrom(gpu, "bias", bias),
            perm: storageFrom(gpu, "perm", perm),
            out,
          });
          runPass(gpu, (pass) => call.dispatch(pass, rows));
          const expected = Array.from({ length: rows }, (_, r) => {
            const row = x.subarray(r * hidden, (r + 1) * hidden);
            const normed = normalise(row, weight, bias, EPSILON);
            return [...perm].map((from) => normed[from]);
          }).flat();
          assertNmse(await readFloats(gpu, out), expected, limit, `${what}, hidden ${hidden}`);
        }
      }
    }));
}
