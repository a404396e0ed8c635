/**
 * Layer norm, qkv and up of one row in one dispatch.
 *
 * Knows its bindings, its grid and what shapes it is good for; knows nothing of what comes after.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { NUMBERS, type Numbers } from "./activation.ts";
import { GELU } from "./gelu.ts";
import { fewestWorkgroups, mostThreads, normQkvUpCut, type RowCut, slots } from "./row_cuts.ts";
import { rowMatrices } from "./row_matrix.ts";
import { type Reductions, rowReductions } from "./row_reductions.ts";
import { quadsEach, quadsOf, rowVectorBytes, rowVectors } from "./row_vectors.ts";
import code from "./norm_qkv_up.wgsl" with { type: "text" };

export interface NormQkvUpShape {
  bits: number;
  hidden: number;
  ffn: number;
  /** Outputs of qkv. */
  qkv: number;
  /** Inputs that share a scale, in both matrices. */
  groupSize: number;
  epsilon: number;
  /** Whether both matrices read their inputs in one order. */
  oneOrder: boolean;
  /** Of chunks. Default: "int16". */
  numbers?: Numbers;
}

const BINDINGS = {
  x: "read",
  normWeight: "read",
  normBias: "read",
  upOrder: "read",
  qkvOrder: "read",
  upWeight: "read",
  upGroups: "read",
  upBias: "read",
  qkvWeight: "read",
  qkvGroups: "read",
  qkvBias: "read",
  ffn: "read_write",
  qkv: "read_write",
} as const;

const source = (bits: number, first: number, each: number, reductions: Reductions) =>
  defineKernel({
    name: `norm_qkv_up, ${bits} bits, ${first} first, ${each} quads, ${reductions.name}`,
    code: [
      GELU,
      code,
      reductions.code,
      rowVectors(each),
      quadsOf("x", each, "Quads"),
      quadsOf("norm_weight", each, "Quads"),
      quadsOf("norm_bias", each, "Quads"),
      quadsOf("up_order", each, "Order"),
      quadsOf("qkv_order", each, "Order"),
      normed(each),
      rowMatrices(bits, first, ["up", "qkv"]),
    ].join(""),
    bindings: BINDINGS,
  });

/** `normed(values, pivot, weights, biases, thread)`: a thread's quads of LN(x); pivot is any of x. */
function normed(each: number): string {
  const every = (text: (i: number) => string) => Array.from({ length: each }, (_, i) => text(i));
  const quads = every((i) => `(d.q${i} - m.mean) * scale * weights.q${i} + biases.q${i},`);
  return `
fn normed(v: Quads, pivot: f32, weights: Quads, biases: Quads, thread: u32) -> Quads {
  // However large the mean is, it is near the pivot: no digits of the differences are lost.
  let d = Quads(${every((i) => `v.q${i} - pivot`).join(", ")});
  let m = joined(own_moments(d, thread), thread);
  let scale = inverseSqrt(m.squares / f32(HIDDEN) + EPSILON);
  return Quads(
    ${quads.join("\n    ")}
  );
}
`;
}

function workgroupsOf({ ffn, qkv }: NormQkvUpShape, cut: RowCut): number | undefined {
  return fewestWorkgroups(ffn / 32, qkv / 4, slots(cut));
}

/** Whether this GPU can do it for a model of this shape. */
export function canNormQkvUp(
  gpu: Gpu,
  shape: NormQkvUpShape,
  cut = normQkvUpCut(gpu, shape.bits),
): boolean {
  const { limits } = gpu.device;
  return workgroupsOf(shape, cut) !== undefined && mostThreads(gpu) >= cut.threads &&
    limits.maxStorageBuffersPerShaderStage >= Object.keys(BINDINGS).length &&
    limits.maxComputeWorkgroupStorageSize >=
      rowVectorBytes(shape.hidden, cut.threads, shape.oneOrder ? 1 : 2);
}

/** `qkv = W_qkv LN(x) + bias` and `ffn = gelu(W_up LN(x) + bias)`, where `canNormQkvUp`. */
export function normQkvUp(gpu: Gpu, shape: NormQkvUpShape, cut = normQkvUpCut(gpu, shape.bits)) {
  const workgroups = workgroupsOf(shape, cut) ?? 1;
  const each = quadsEach(shape.hidden, cut.threads);
  return compileKernel(gpu, source(shape.bits, cut.first, each, rowReductions(gpu, cut)), {
    HIDDEN: shape.hidden,
    FFN: shape.ffn,
    QKV: shape.qkv,
    EPSILON: shape.epsilon,
    GROUP_SIZE: shape.groupSize,
    NUMBERS: NUMBERS[shape.numbers ?? "int16"],
    ORDERS: shape.oneOrder ? 1 : 2,
    THREADS: cut.threads,
    LANES: cut.lanes,
    EARLY: cut.early ? 1 : 0,
    WORKGROUPS: workgroups,
  }, () => [workgroups]);
}
