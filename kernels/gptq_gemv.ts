/**
 * A quantised matrix times one or a few vectors: decode.
 *
 * Knows the layouts that `gptq_repack` and `activation.ts` describe; knows nothing of act-order,
 * which is folded away there.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { FINISH } from "./gptq_finish.ts";
import { matrixConstants, type MatrixShape } from "./gptq_shape.ts";
import code from "./gptq_gemv.wgsl" with { type: "text" };

const source = defineKernel({
  name: "gptq_gemv",
  code: FINISH + code,
  bindings: {
    x: "read",
    weight: "read",
    groups: "read",
    bias: "read",
    y: "read_write",
    slice: "uniform",
    // Not read here. A buffer that a kernel reads after another wrote it costs a barrier, which all
    // work before it must reach; what the next kernel reads can be named here, so that one barrier
    // serves both and they overlap.
    early1: "read",
    early2: "read",
  },
});

export interface GemvCut {
  /** Threads that share four outputs, a power of two. */
  lanes: number;
  /** Threads of a workgroup; with gelu eight times the lanes. */
  threads: number;
}

/** `y[r] = epilogue(W x[r] + bias)` for the outputs of one slice of W; dispatch(outputs, rows). */
export function gptqGemv(gpu: Gpu, shape: MatrixShape, { lanes, threads } = geometry(shape)) {
  return compileKernel(
    gpu,
    source,
    { ...matrixConstants(shape), THREADS: threads, LANES: lanes },
    (outputs: number, rows: number) => [Math.ceil(outputs / (4 * threads / lanes)), rows],
  );
}

/** Few outputs need many lanes to fill a GPU; measured on an H200 at Falcon-7B's shapes. */
function geometry({ inFeatures, outFeatures, epilogue }: MatrixShape): GemvCut {
  if (epilogue === "gelu" || outFeatures >= 16384) return { lanes: 16, threads: 128 };
  return inFeatures >= 8192 ? { lanes: 128, threads: 256 } : { lanes: 64, threads: 128 };
}
