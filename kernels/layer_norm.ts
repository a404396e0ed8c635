/**
 * Layer normalisation, its output in the order and in the format its reader wants.
 *
 * Knows its bindings and grid; knows nothing of why the order is what it is.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { NUMBERS, type Numbers, STORE_QUAD } from "./activation.ts";
import { ROW_STATISTICS, statisticsThreads } from "./row_statistics.ts";
import code from "./layer_norm.wgsl" with { type: "text" };

const source = defineKernel({
  name: "layer_norm",
  code: ROW_STATISTICS + STORE_QUAD + code,
  bindings: { x: "read", weight: "read", bias: "read", perm: "read", y: "read_write" },
});

/** `y[r, i] = ((x[r] - mean) / sqrt(variance + epsilon) * weight + bias)[perm[i]]`. */
export function layerNorm(
  gpu: Gpu,
  hidden: number,
  epsilon: number,
  numbers: Numbers = "int16",
) {
  return compileKernel(
    gpu,
    source,
    {
      HIDDEN: hidden,
      EPSILON: epsilon,
      THREADS: statisticsThreads(gpu, hidden),
      NUMBERS: NUMBERS[numbers],
    },
    (rows: number) => [rows],
  );
}
