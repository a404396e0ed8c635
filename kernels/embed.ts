/**
 * Token ids to rows of the embedding table (half precision), one slice of the table a dispatch.
 *
 * Knows its bindings and grid; knows nothing of where the ids come from.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./embed.wgsl" with { type: "text" };

const source = defineKernel({
  name: "embed",
  code,
  bindings: { rows: "read", table: "read", x: "read_write", slice: "uniform" },
});

/** `x[r] = table[token of r]` for tokens in [slice.first, slice.first + slice.count). */
export function embed(gpu: Gpu, hidden: number) {
  return compileKernel(
    gpu,
    source,
    { HIDDEN: hidden },
    (rows: number) => [Math.ceil(hidden / 2 / 64), rows],
  );
}
