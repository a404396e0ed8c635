/** What tests share: a GPU that fails the test on any error, seeded numbers, error measures. */
import { type Gpu, type GpuOptions, openGpu } from "../gpu/device.ts";

/** Runs `body` with a GPU of its own; any GPU error it caused fails the test. */
export async function withGpu(
  body: (gpu: Gpu) => Promise<void>,
  options: GpuOptions = {},
): Promise<void> {
  const gpu = await openGpu(options);
  let lost: string | undefined;
  gpu.lost.then((reason) => lost = reason);
  try {
    await body(gpu);
    await gpu.device.queue.onSubmittedWorkDone();
    gpu.check();
    if (lost !== undefined) throw new Error(`the GPU device was lost: ${lost}`);
  } finally {
    gpu.close();
  }
}

/** A small seeded generator (mulberry32): values in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `length` seeded numbers of a normal-like distribution, as float32. */
export function randomFloats(length: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  const random = seededRandom(seed);
  return Float32Array.from(
    { length },
    () => scale * (random() + random() + random() + random() - 2),
  );
}
