/**
 * Copies chosen rows of a matrix next to each other.
 *
 * Knows its bindings and grid; knows nothing of who chose.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./gather_rows.wgsl" with { type: "text" };

const source = defineKernel({
  name: "gather_rows",
  code,
  bindings: { x: "read", picked: "read", out: "read_write" },
});

/** `out[i] = x[picked[i]]`, each row `width` numbers. */
export function gatherRows(gpu: Gpu, width: number) {
  return compileKernel(
    gpu,
    source,
    { WIDTH: width },
    (picks: number) => [Math.ceil(width / 64), picks],
  );
}
