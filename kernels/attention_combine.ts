/**
 * The second half of attention: partial sums over runs of keys become the heads' outputs.
 *
 * Knows the shape `attention` leaves them in; knows nothing of the KV cache.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { NUMBERS, type Numbers, STORE_QUAD } from "./activation.ts";
import code from "./attention_combine.wgsl" with { type: "text" };

const source = defineKernel({
  name: "attention_combine",
  code: STORE_QUAD + code,
  bindings: { rows: "read", partial: "read", perm: "read", y: "read_write", step: "uniform" },
});

const OUTPUTS_PER_WORKGROUP = 256;

/** `y[r, i] = attention output perm[i] of row r`, (rows, heads * headDim). */
export function attentionCombine(
  gpu: Gpu,
  shape: { heads: number; headDim: number },
  numbers: Numbers = "int16",
) {
  const width = shape.heads * shape.headDim;
  return compileKernel(
    gpu,
    source,
    { HEADS: shape.heads, HEAD_DIM: shape.headDim, NUMBERS: NUMBERS[numbers] },
    (rows: number) => [Math.ceil(width / OUTPUTS_PER_WORKGROUP), rows],
  );
}
