/** combine_dense against a softmax over runs of keys and the product in float64. */
import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { canCombineDense, combineDense } from "../../kernels/combine_dense.ts";
import type { RowCut } from "../../kernels/row_cuts.ts";
import { assertNmse, randomFloats, readFloats, runPass, shuffled, withGpu } from "../helpers.ts";
import { packChunks, unpackChunks } from "./chunks.ts";
import { multiply, packScalesAndZeros, packWeight, randomMatrix } from "./gptq_matrix.ts";

/** As in norm_qkv_up_test.ts: inputs that f32 rounds to the other whole number. */
const LIMITS = { int8: 2e-5, int16: 1e-9 };

interface Case {
  bits: number;
  heads: number;
  headDim: number;
  groupSize: number;
  splits: number;
  numbers?: "int8" | "int16";
  cut?: RowCut;
}

async function check(gpu: Gpu, { cut, ...sizes }: Case): Promise<void> {
  const { bits, heads, headDim, groupSize, splits, numbers = "int16" } = sizes;
  const hidden = heads * headDim;
  const shape = { bits, hidden, heads, groupSize, numbers };
  assert(canCombineDense(gpu, shape, cut));
  const partial = randomFloats(splits * hidden, 1, 4);
  // Maxima far apart, since e^200 is no float32; weights from 1 up, as they are.
  const peaks = randomFloats(splits * heads * 2, 2);
  peaks.forEach((value, i) => peaks[i] = i % 2 === 0 ? 100 * value : 1 + Math.abs(value));
  const order = shuffled(hidden, 3);
  const matrix = randomMatrix(
    { bits, inFeatures: hidden, outFeatures: hidden, groupSize, epilogue: "add" },
    4,
  );
  const bias = randomFloats(hidden, 5, 0.5);
  const down = randomFloats(hidden, 6);
  const before = randomFloats(hidden, 7);
  const x = storageFrom(gpu, "x", before);
  const call = (await combineDense(gpu, shape, cut)).bind({
    partial: storageFrom(gpu, "partial", partial),
    peaks: storageFrom(gpu, "peaks", peaks),
    order: storageFrom(gpu, "order", order),
    weight: storageFrom(gpu, "weight", packWeight(matrix, 0, hidden)),
    groups: storageFrom(gpu, "groups", packScalesAndZeros(matrix)),
    bias: storageFrom(gpu, "bias", bias),
    down: storageFrom(gpu, "down", down),
    x,
    step: uniformFrom(gpu, "step", new Uint32Array([32, splits])),
  });
  runPass(gpu, (pass) => call.dispatch(pass));

  const attention = Float64Array.from({ length: hidden }, (_, i) => {
    const head = Math.floor(i / headDim);
    const runs = Array.from({ length: splits }, (_, split) => ({
      peak: peaks[2 * (split * heads + head)],
      weight: peaks[2 * (split * heads + head) + 1],
      sum: partial[split * hidden + i],
    }));
    const highest = Math.max(...runs.map(({ peak }) => peak));
    const total = (of: (run: typeof runs[number]) => number) =>
      runs.reduce((sum, run) => sum + Math.exp(run.peak - highest) * of(run), 0);
    return total(({ sum }) => sum) / total(({ weight }) => weight);
  });
  const ordered = packChunks(Float32Array.from(order, (from) => attention[from]), numbers);
  const { values } = unpackChunks(ordered, "attention", numbers);
  const product = multiply(matrix, values, bias);
  const expected = product.map((value, i) => before[i] + down[i] + value);
  assertNmse(
    await readFloats(gpu, x),
    expected,
    LIMITS[numbers],
    JSON.stringify({ ...sizes, cut }),
  );
}

const SHAPES = [
  { threads: 640, lanes: 71, first: 2, early: true },
  { threads: 448, lanes: 48, first: 3, early: true },
  { threads: 576, lanes: 142, first: 1, early: false },
  { threads: 32, lanes: 3, first: 1, early: true },
  { threads: 32, lanes: 1, first: 2, early: true },
];
/** Each with subgroups and without. */
const CUTS: RowCut[] = SHAPES.flatMap((cut) =>
  [true, false].map((subgroups) => ({ ...cut, subgroups }))
);
const SMALL = { heads: 3, headDim: 64, groupSize: 128 };

for (const bits of [4, 8]) {
  Deno.test(`combine_dense: ${bits} bits, every group size, heads and runs of keys`, () =>
    withGpu(async (gpu) => {
      const splits = [1, 2, 3, 4, 5, 16];
      for (const [heads, headDim] of [[3, 64], [5, 64], [4, 8], [9, 96]]) {
        for (const groupSize of [32, 64, 128, heads * headDim]) {
          await check(gpu, { bits, heads, headDim, groupSize, splits: splits[0] });
          splits.push(splits.shift()!);
        }
      }
    }));

  Deno.test(`combine_dense: ${bits} bits, every cut, one byte a number and two`, () =>
    withGpu(async (gpu) => {
      for (const cut of CUTS) {
        for (const numbers of ["int8", "int16"] as const) {
          await check(gpu, { ...SMALL, bits, splits: 3, numbers, cut });
        }
      }
    }));
}

Deno.test("combine_dense: the full model's heads", () =>
  withGpu(async (gpu) => {
    const shape = { bits: 4, heads: 71, headDim: 64, groupSize: 128, splits: 4 };
    for (const cut of [undefined, CUTS[0], CUTS[1]]) {
      await check(gpu, { ...shape, ...(cut ? { cut } : {}) });
    }
  }));

Deno.test("combine_dense: what does not fit a workgroup is said beforehand", () =>
  withGpu((gpu) => {
    const shape = { bits: 4, hidden: 192, heads: 3, groupSize: 128 };
    const [cut] = CUTS;
    assert(canCombineDense(gpu, shape, cut));
    const { limits } = gpu.device;
    const most = limits.maxComputeInvocationsPerWorkgroup;
    assert(!canCombineDense(gpu, shape, { ...cut, threads: most + 32 }));
    const hidden = 32 * Math.ceil(limits.maxComputeWorkgroupStorageSize / 128);
    assert(!canCombineDense(gpu, { ...shape, hidden }, cut));
    return Promise.resolve();
  }));
