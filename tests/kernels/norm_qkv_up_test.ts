/** norm_qkv_up against layer norm and both products in float64. */
import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { activationBytes } from "../../kernels/activation.ts";
import { canNormQkvUp, normQkvUp } from "../../kernels/norm_qkv_up.ts";
import type { RowCut } from "../../kernels/row_cuts.ts";
import {
  assertNmse,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  shuffled,
  withGpu,
} from "../helpers.ts";
import { gelu } from "../reference.ts";
import { assertChunks, packChunks, readWords, unpackChunks } from "./chunks.ts";
import { multiply, packScalesAndZeros, packWeight, randomMatrix } from "./gptq_matrix.ts";
import { EPSILON, NORM_CASES, type NormCase, normRows } from "./norm_rows.ts";

/**
 * The inputs are rounded to whole numbers of their chunk's scale, here and there; f32 may round one
 * in a hundred the other way: a step of `top` of the largest of 32, some 2.5 deviations. That is an
 * NMSE of (2.5 / top)² / 100: 2e-10 with two bytes a number, 4e-6 with one. Five times that.
 */
const LIMITS = { int8: 2e-5, int16: 1e-9 };

interface Case {
  bits: number;
  hidden: number;
  ffn: number;
  qkv: number;
  groupSize: number;
  oneOrder: boolean;
  numbers?: "int8" | "int16";
  cut?: RowCut;
  rows?: NormCase;
}

const ORDINARY: NormCase = { what: "", hiddens: [], scale: 2, offset: 0.5, limit: 0 };

async function check(gpu: Gpu, { cut, rows = ORDINARY, ...sizes }: Case): Promise<void> {
  const { bits, hidden, ffn, qkv, groupSize, oneOrder, numbers = "int16" } = sizes;
  const shape = { ...sizes, epsilon: EPSILON, numbers };
  assert(canNormQkvUp(gpu, shape, cut));
  const { x, weight, bias, normed: [normed] } = normRows(rows, 1, hidden);
  const upOrder = shuffled(hidden, 3);
  const qkvOrder = oneOrder ? upOrder : shuffled(hidden, 4);
  const matrix = (outFeatures: number, seed: number) =>
    randomMatrix({ bits, inFeatures: hidden, outFeatures, groupSize, epilogue: "store" }, seed);
  const [up, attention] = [matrix(ffn, 5), matrix(qkv, 6)];
  const [upBias, qkvBias] = [randomFloats(ffn, 7, 0.5), randomFloats(qkv, 8, 0.5)];
  const ffnOut = poisoned(gpu, "ffn", activationBytes(1, ffn) / 4);
  const qkvOut = poisoned(gpu, "qkv", qkv);
  const kept = (label: string, data: ArrayBufferView<ArrayBuffer>) => storageFrom(gpu, label, data);
  const call = (await normQkvUp(gpu, shape, cut)).bind({
    x: kept("x", x),
    normWeight: kept("norm weight", weight),
    normBias: kept("norm bias", bias),
    upOrder: kept("up order", upOrder),
    qkvOrder: kept("qkv order", qkvOrder),
    upWeight: kept("up", packWeight(up, 0, ffn)),
    upGroups: kept("up groups", packScalesAndZeros(up)),
    upBias: kept("up bias", upBias),
    qkvWeight: kept("qkv", packWeight(attention, 0, qkv)),
    qkvGroups: kept("qkv groups", packScalesAndZeros(attention)),
    qkvBias: kept("qkv bias", qkvBias),
    ffn: ffnOut,
    qkv: qkvOut,
  });
  runPass(gpu, (pass) => call.dispatch(pass));
  const inputs = (order: Uint32Array) =>
    unpackChunks(
      packChunks(Float32Array.from(order, (from) => normed[from]), numbers),
      "LN(x)",
      numbers,
    ).values;
  const what = JSON.stringify({ ...sizes, cut, rows: rows.what });
  const limit = Math.max(LIMITS[numbers], rows.limit);
  const expected = multiply(attention, inputs(qkvOrder), qkvBias);
  assertNmse(await readFloats(gpu, qkvOut), expected, limit, `qkv ${what}`);
  const wide = multiply(up, inputs(upOrder), upBias).map(gelu);
  const error = 10 * Math.sqrt(limit);
  assertChunks(await readWords(gpu, ffnOut, ffn), wide, error, `ffn ${what}`, numbers);
}

const SMALL = { hidden: 192, ffn: 768, qkv: 320, groupSize: 128 };
const SHAPES = [
  { threads: 704, lanes: 16, first: 1, early: true },
  { threads: 704, lanes: 16, first: 3, early: false },
  { threads: 768, lanes: 17, first: 2, early: true },
  { threads: 256, lanes: 4, first: 1, early: true },
  { threads: 32, lanes: 3, first: 1, early: false },
];
/** Each with subgroups and without. */
const CUTS: RowCut[] = SHAPES.flatMap((cut) =>
  [true, false].map((subgroups) => ({ ...cut, subgroups }))
);

for (const bits of [4, 8]) {
  Deno.test(`norm_qkv_up: ${bits} bits, every group size, one order and two`, () =>
    withGpu(async (gpu) => {
      for (const hidden of [192, 320]) {
        for (const groupSize of [32, 64, 128, hidden]) {
          const oneOrder = groupSize % 128 === 0;
          await check(gpu, { bits, hidden, ffn: 4 * hidden, qkv: 72, groupSize, oneOrder });
        }
      }
    }));

  Deno.test(`norm_qkv_up: ${bits} bits, every cut, one byte a number and two`, () =>
    withGpu(async (gpu) => {
      for (const [i, cut] of CUTS.entries()) {
        for (const numbers of ["int8", "int16"] as const) {
          await check(gpu, { ...SMALL, bits, oneOrder: i % 4 < 2, numbers, cut });
        }
      }
    }));

  Deno.test(`norm_qkv_up: ${bits} bits, the full model's inner dimension`, () =>
    withGpu(async (gpu) => {
      const shape = { bits, hidden: 4544, ffn: 352, qkv: 96, groupSize: 128, oneOrder: true };
      for (const cut of [undefined, CUTS[0], CUTS[1], CUTS[4]]) {
        await check(gpu, { ...shape, ...(cut ? { cut } : {}) });
      }
    }));
}

Deno.test("norm_qkv_up: small rows and rows of a large mean", () =>
  withGpu(async (gpu) => {
    for (const rows of NORM_CASES) {
      for (const hidden of [...new Set([192, ...rows.hiddens])].filter((size) => size >= 192)) {
        const shape = { bits: 4, hidden, ffn: 352, qkv: 96, groupSize: 64, oneOrder: true };
        for (const cut of CUTS.slice(0, 2)) await check(gpu, { ...shape, rows, cut });
      }
    }
  }));

Deno.test("norm_qkv_up: what does not fit a workgroup is said beforehand", () =>
  withGpu((gpu) => {
    const shape = { ...SMALL, bits: 4, epsilon: EPSILON, oneOrder: true };
    const [cut] = CUTS;
    assert(canNormQkvUp(gpu, shape, cut));
    // Seven quads at once: no chunk of 32 outputs.
    assert(!canNormQkvUp(gpu, shape, { ...cut, threads: 128, lanes: 18 }));
    const most = gpu.device.limits.maxComputeInvocationsPerWorkgroup;
    assert(!canNormQkvUp(gpu, shape, { ...cut, threads: most + 32 }));
    const { maxComputeWorkgroupStorageSize: bytes } = gpu.device.limits;
    assert(!canNormQkvUp(gpu, { ...shape, hidden: 32 * Math.ceil(bytes / 128) }, cut));
    return Promise.resolve();
  }));
