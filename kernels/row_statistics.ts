/**
 * Mean and deviation of one row of a matrix, as WGSL text that the norm kernels put before their
 * own.
 *
 * Knows the reduction; it is no kernel and has no bindings.
 */

/** Threads of a workgroup; each row is one workgroup's. */
export const STATISTICS_THREADS = 256;

/**
 * `statistics(row, thread)` gives the mean of x[row] and 1 / sqrt(variance + EPSILON), to all
 * threads; the kernel declares `x: array<f32>` (rows, HIDDEN), HIDDEN and EPSILON.
 */
export const ROW_STATISTICS = `
const THREADS = ${STATISTICS_THREADS}u;

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
  var sum = 0.0;
  for (var i = thread; i < HIDDEN; i += THREADS) {
    sum += x[row * HIDDEN + i];
  }
  let mean = total(thread, sum) / f32(HIDDEN);
  // Squares of differences, not a difference of squares: the mean may be large.
  var squares = 0.0;
  for (var i = thread; i < HIDDEN; i += THREADS) {
    let difference = x[row * HIDDEN + i] - mean;
    squares += difference * difference;
  }
  return vec2(mean, inverseSqrt(total(thread, squares) / f32(HIDDEN) + EPSILON));
}
`;
