/**
 * Faults on purpose, to test what becomes of requests and of the process: no flag, variable or
 * request leads here, only `LocalEngineOptions`.
 *
 * Knows a step's result and the GPU. Knows no request.
 */
import type { Gpu } from "../gpu/device.ts";
import type { SampledRow } from "./sampler.ts";

export interface Fault {
  /**
   * - "throw": the step throws.
   * - "lose": the GPU device is lost.
   * - "allocate": the GPU refuses memory.
   * - "stray": something outside the step throws.
   * - "invalid": what the step samples first is not a number.
   */
  kind: "throw" | "lose" | "allocate" | "stray" | "invalid";
  /** The step, from 1, that it happens in. */
  step: number;
  /** Workers that it happens to, the first ones. */
  workers: number;
}

/** More than any GPU gives. */
const TOO_MANY_BYTES = 2 ** 40;

/** What to do with the result of each step: nothing, but for the one with the fault. */
export function injector(
  fault: Fault | undefined,
  gpu: Gpu,
): (sampled: SampledRow[]) => SampledRow[] {
  let steps = 0;
  return (sampled) => {
    if (++steps !== fault?.step) return sampled;
    switch (fault.kind) {
      case "throw":
        throw new Error("a fault on purpose");
      case "lose":
        gpu.device.destroy();
        break;
      case "allocate":
        gpu.device.createBuffer({ size: TOO_MANY_BYTES, usage: GPUBufferUsage.STORAGE });
        break;
      case "stray":
        setTimeout(() => {
          throw new Error("a fault on purpose");
        });
        break;
      case "invalid":
        return sampled.map((row, i) => i === 0 ? { ...row, invalid: true } : row);
    }
    return sampled;
  };
}
