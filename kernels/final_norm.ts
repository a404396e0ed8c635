/**
 * The last layer normalisation, of the few rows whose logits are wanted.
 *
 * Knows its bindings and grid; knows nothing of who picked the rows.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { ROW_STATISTICS, statisticsThreads } from "./row_statistics.ts";
import code from "./final_norm.wgsl" with { type: "text" };

const source = defineKernel({
  name: "final_norm",
  code: ROW_STATISTICS + code,
  bindings: {
    x: "read",
    picked: "read",
    weight: "read",
    bias: "read",
    y: "read_write",
    halves: "read_write",
  },
});

/** `y[i] = LN(x[picked[i]])`, (picks, hidden) float32; `halves` the same in half precision. */
export function finalNorm(gpu: Gpu, hidden: number, epsilon: number) {
  return compileKernel(
    gpu,
    source,
    { HIDDEN: hidden, EPSILON: epsilon, THREADS: statisticsThreads(gpu, hidden) },
    (picks: number) => [picks],
  );
}
