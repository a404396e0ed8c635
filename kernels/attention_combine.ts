/**
 * The second half of attention: partial sums over runs of keys become the heads' outputs.
 *
 * Knows the shape `attention` leaves them in; knows nothing of the KV cache.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./attention_combine.wgsl" with { type: "text" };

const source = defineKernel({
  name: "attention_combine",
  code,
  bindings: { rows: "read", partial: "read", place: "read", out: "read_write", step: "uniform" },
});

/** `out[r, place[i]] = attention output i of row r`, (rows, heads * headDim). */
export function attentionCombine(gpu: Gpu, shape: { heads: number; headDim: number }) {
  return compileKernel(
    gpu,
    source,
    { HEADS: shape.heads, HEAD_DIM: shape.headDim },
    (rows: number) => [Math.ceil(shape.heads * shape.headDim / 64), rows],
  );
}
