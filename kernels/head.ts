/**
 * The language-model head: one logit for each entry of the vocabulary.
 *
 * Knows the half-precision table, one slice a dispatch; knows nothing of how logits are used.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./head.wgsl" with { type: "text" };

const source = defineKernel({
  name: "head",
  code,
  bindings: { x: "read", table: "read", logits: "read_write", slice: "uniform" },
});

const OUTPUTS_PER_WORKGROUP = 16;

/** `logits[r, slice.first + v] = table[v] . x[r]`; dispatch(entries of the slice, rows). */
export function head(gpu: Gpu, shape: { hidden: number; vocab: number }) {
  return compileKernel(
    gpu,
    source,
    { HIDDEN: shape.hidden, VOCAB: shape.vocab },
    (entries: number, rows: number) => [Math.ceil(entries / OUTPUTS_PER_WORKGROUP), rows],
  );
}
