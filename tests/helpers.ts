/** What tests share: a GPU that fails the test on any error, seeded numbers, error measures. */
import assert from "node:assert/strict";
import { storageFrom } from "../gpu/buffer.ts";
import { type Gpu, type GpuOptions, openGpu } from "../gpu/device.ts";
import { readOnce } from "../gpu/readback.ts";

let shared: Promise<Gpu> | undefined;

/**
 * Runs `body` with a GPU; any GPU error it caused fails the test. Without options the tests of a
 * file share one device: a process can open only so many (some 150 on an NVIDIA driver).
 */
export async function withGpu(
  body: (gpu: Gpu) => Promise<void>,
  options?: GpuOptions,
): Promise<void> {
  const gpu = options ? await openGpu(options) : await (shared ??= openGpu());
  let lost: string | undefined;
  gpu.lost.then((reason) => lost = reason);
  try {
    await body(gpu);
    await gpu.device.queue.onSubmittedWorkDone();
    gpu.check();
    if (lost !== undefined) throw new Error(`the GPU device was lost: ${lost}`);
  } catch (error) {
    // What a broken device says next would be blamed on the next test.
    shared = undefined;
    throw error;
  } finally {
    if (options) gpu.close();
    else gpu.freeBuffers();
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

/** A seeded permutation of 0 .. length - 1. */
export function shuffled(length: number, seed: number): Uint32Array<ArrayBuffer> {
  const random = seededRandom(seed);
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Runs one compute pass; what it dispatches is ordered by the GPU as in any pass. */
export function runPass(gpu: Gpu, encode: (pass: GPUComputePassEncoder) => void): void {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encode(pass);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
}

/** A storage buffer of NaN: what a kernel fails to write, or reads too much of, shows. */
export function poisoned(gpu: Gpu, label: string, floats: number): GPUBuffer {
  return storageFrom(gpu, label, new Float32Array(floats).fill(NaN));
}

/** A whole buffer, as float32. */
export async function readFloats(gpu: Gpu, buffer: GPUBuffer): Promise<Float32Array> {
  return new Float32Array(await readOnce(gpu, buffer, buffer.size));
}

/** Fails at the first place that differs; NaN equals NaN. (`deepEqual` takes minutes to say no.) */
export function assertSame(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
): void {
  assert.equal(found.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(found[i], expected[i])) {
      assert.fail(`${what}: ${found[i]} at ${i}, expected ${expected[i]}`);
    }
  }
}

/** Normalised mean square error: sum (found - expected)^2 / sum expected^2. */
export function nmse(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (found[i] - expected[i]) ** 2;
    power += expected[i] ** 2;
  }
  return error / power;
}

/** Fails unless the lengths agree and the NMSE is at most `limit`; one NaN is enough to fail. */
export function assertNmse(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  limit: number,
  what: string,
): void {
  assert.equal(found.length, expected.length, what);
  const error = nmse(found, expected);
  assert(error <= limit, `${what}: NMSE ${error} is above ${limit}`);
}
