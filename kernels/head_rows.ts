/**
 * The language-model head for many rows, which share one read of the table.
 *
 * Knows the half-precision table, one slice a dispatch; knows nothing of how logits are used.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./head_rows.wgsl" with { type: "text" };

const source = defineKernel({
  name: "head_rows",
  code,
  bindings: {
    x: "read",
    table: "read",
    logits: "read_write",
    slice: "uniform",
    rows: "uniform",
  },
});

const ROWS = 8;
const OUTPUTS = 32;

/** `logits[r, slice.first + v] = table[v] . x[r]`; dispatch(entries of the slice, rows). */
export function headRows(gpu: Gpu, shape: { hidden: number; vocab: number }) {
  return compileKernel(
    gpu,
    source,
    { HIDDEN: shape.hidden, VOCAB: shape.vocab },
    (entries: number, rows: number) => [Math.ceil(rows / ROWS), Math.ceil(entries / OUTPUTS)],
  );
}
