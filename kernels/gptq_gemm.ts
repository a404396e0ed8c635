/**
 * A quantised matrix times many vectors: prefill.
 *
 * Knows the layouts that `gptq_repack` and `activation.ts` describe; knows nothing of act-order,
 * which is folded away there.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { FINISH } from "./gptq_finish.ts";
import { matrixConstants, type MatrixShape } from "./gptq_shape.ts";
import code from "./gptq_gemm.wgsl" with { type: "text" };

const source = defineKernel({
  name: "gptq_gemm",
  code: FINISH + code,
  bindings: {
    x: "read",
    weight: "read",
    groups: "read",
    bias: "read",
    y: "read_write",
    slice: "uniform",
    rows: "uniform",
  },
});

const ROWS = 8;
const OUTPUTS = 32;

/** `Y = epilogue(X W^T + bias)` for the outputs of one slice of W; dispatch(outputs, rows). */
export function gptqGemm(gpu: Gpu, shape: MatrixShape) {
  return compileKernel(
    gpu,
    source,
    matrixConstants(shape),
    (outputs: number, rows: number) => [Math.ceil(outputs / OUTPUTS), Math.ceil(rows / ROWS)],
  );
}
