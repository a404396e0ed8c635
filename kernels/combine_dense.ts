/**
 * The second half of attention of one row and the output projection in one dispatch.
 *
 * Knows its bindings, its grid, what shapes it is good for, and the shape `row_attention` leaves its
 * sums in; knows nothing of the KV cache.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { NUMBERS, type Numbers } from "./activation.ts";
import { combineDenseCut, mostThreads, slots } from "./row_cuts.ts";
import { rowMatrices } from "./row_matrix.ts";
import { type Reductions, rowReductions } from "./row_reductions.ts";
import { quadsEach, quadsOf, rowVectorBytes, rowVectors } from "./row_vectors.ts";
import code from "./combine_dense.wgsl" with { type: "text" };

export interface CombineDenseShape {
  bits: number;
  hidden: number;
  heads: number;
  /** Inputs that share a scale. */
  groupSize: number;
  /** Of chunks. Default: "int16". */
  numbers?: Numbers;
}

const BINDINGS = {
  partial: "read",
  peaks: "read",
  order: "read",
  weight: "read",
  groups: "read",
  bias: "read",
  down: "read",
  x: "read_write",
  step: "uniform",
} as const;

const source = (bits: number, first: number, each: number, reductions: Reductions) =>
  defineKernel({
    name: `combine_dense, ${bits} bits, ${first} first, ${each} quads, ${reductions.name}`,
    code: [
      code,
      reductions.code,
      rowVectors(each),
      quadsOf("order", each, "Order"),
      combinedQuads(each),
      rowMatrices(bits, first, ["dense"]),
    ].join(""),
    bindings: BINDINGS,
  });

/** All of a thread's quads together: what they load is under way at once. */
function combinedQuads(each: number): string {
  const every = (text: (i: number) => string, between = "\n    ") =>
    Array.from({ length: each }, (_, i) => text(i)).join(between);
  return `
fn combined_quads(thread: u32) -> Quads {
  ${every((i) => `var c${i} = Combined(LOWEST, 0.0, vec4(0.0));`, "\n  ")}
  for (var first = 0u; first < step.splits; first += 2u) {
    ${every((i) => `let r${i} = runs_of(quad_of(thread, ${i}u), first);`)}
    ${every((i) => `c${i} = with_runs(c${i}, r${i}, first);`)}
  }
  return Quads(${every((i) => `c${i}.sum / c${i}.weight`, ", ")});
}
`;
}

/** Whether this GPU can do it for a model of this shape. */
export function canCombineDense(
  gpu: Gpu,
  shape: CombineDenseShape,
  cut = combineDenseCut(gpu, shape.bits),
): boolean {
  const { limits } = gpu.device;
  const storage = Object.values(BINDINGS).filter((access) => access !== "uniform");
  return limits.maxStorageBuffersPerShaderStage >= storage.length &&
    mostThreads(gpu) >= cut.threads &&
    limits.maxComputeWorkgroupStorageSize >= rowVectorBytes(shape.hidden, cut.threads, 1);
}

/** `x += W attention + bias + down`, where `canCombineDense`. */
export function combineDense(
  gpu: Gpu,
  shape: CombineDenseShape,
  cut = combineDenseCut(gpu, shape.bits),
) {
  const { hidden } = shape;
  const workgroups = Math.ceil(hidden / 4 / slots(cut));
  const each = quadsEach(hidden, cut.threads);
  return compileKernel(gpu, source(shape.bits, cut.first, each, rowReductions(gpu, cut)), {
    HIDDEN: hidden,
    HEADS: shape.heads,
    GROUP_SIZE: shape.groupSize,
    NUMBERS: NUMBERS[shape.numbers ?? "int16"],
    THREADS: cut.threads,
    LANES: cut.lanes,
    EARLY: cut.early ? 1 : 0,
    WORKGROUPS: workgroups,
  }, () => [workgroups]);
}
