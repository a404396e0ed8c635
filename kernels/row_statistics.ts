/**
 * Mean and deviation of one row of a matrix, as WGSL text that the norm kernels put before their
 * own.
 *
 * Knows the reduction; it is no kernel and has no bindings.
 */
import type { Gpu } from "../gpu/device.ts";

/**
 * `statistics(row, thread)` gives the mean of x[row] and 1 / sqrt(variance + EPSILON), to all
 * threads of the workgroup; the kernel declares `x: array<vec4<f32>>` (rows, HIDDEN / 4), HIDDEN
 * and EPSILON, and has THREADS threads.
 */
export const ROW_STATISTICS = `
override THREADS: u32; // a power of two

var<workgroup> partial: array<f32, THREADS>;

fn total(thread: u32, value: f32) -> f32 {
  partial[thread] = value;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
  }
  workgroupBarrier();
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

fn statistics(row: u32, thread: u32) -> vec2<f32> {
  let quads = HIDDEN / 4u;
  var sum = vec4(0.0);
  for (var i = thread; i < quads; i += THREADS) {
    sum += x[row * quads + i];
  }
  let mean = total(thread, sum.x + sum.y + sum.z + sum.w) / f32(HIDDEN);
  // Squares of differences, not a difference of squares: the mean may be large.
  var squares = 0.0;
  for (var i = thread; i < quads; i += THREADS) {
    let difference = x[row * quads + i] - mean;
    squares += dot(difference, difference);
  }
  return vec2(mean, inverseSqrt(total(thread, squares) / f32(HIDDEN) + EPSILON));
}
`;

/** Threads for rows of `hidden` numbers: a row is one workgroup's, so as many as can help. */
export function statisticsThreads(gpu: Gpu, hidden: number): number {
  const most = Math.min(1024, gpu.device.limits.maxComputeInvocationsPerWorkgroup);
  let threads = 64;
  while (threads < most && threads < hidden / 4) threads *= 2;
  return threads;
}
