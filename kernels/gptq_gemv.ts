/**
 * A quantised matrix times one or a few vectors: decode.
 *
 * Knows the layout `gptq_repack` leaves; knows nothing of act-order, which is folded away there.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { GELU } from "./gelu.ts";
import { matrixConstants, type MatrixShape } from "./gptq_shape.ts";
import code from "./gptq_gemv.wgsl" with { type: "text" };

const source = defineKernel({
  name: "gptq_gemv",
  code: GELU + code,
  bindings: {
    x: "read",
    weight: "read",
    groups: "read",
    bias: "read",
    y: "read_write",
    slice: "uniform",
  },
});

const OUTPUTS_PER_WORKGROUP = 16;

/** `y[r] = epilogue(W x[r] + bias)` for the outputs of one slice of W; dispatch(outputs, rows). */
export function gptqGemv(gpu: Gpu, shape: MatrixShape) {
  return compileKernel(
    gpu,
    source,
    matrixConstants(shape),
    (outputs: number, rows: number) => [Math.ceil(outputs / OUTPUTS_PER_WORKGROUP), rows],
  );
}
