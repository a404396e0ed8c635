// out[r, i] = LN(x[r])[perm[i]]: one workgroup a row; the permutation is the order in which the
// matrix that reads `out` keeps its inputs (act-order).
override HIDDEN: u32;
override EPSILON: f32;

const THREADS = 256u;

@group(0) @binding(0) var<storage, read> x: array<f32>; // (rows, HIDDEN)
@group(0) @binding(1) var<storage, read> weight: array<f32>; // (HIDDEN)
@group(0) @binding(2) var<storage, read> bias: array<f32>; // (HIDDEN)
@group(0) @binding(3) var<storage, read> perm: array<u32>; // (HIDDEN)
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (rows, HIDDEN)

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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * HIDDEN;
  var sum = 0.0;
  for (var i = thread; i < HIDDEN; i += THREADS) {
    sum += x[row + i];
  }
  let mean = total(thread, sum) / f32(HIDDEN);
  // Squares of differences, not a difference of squares: the mean may be large.
  var squares = 0.0;
  for (var i = thread; i < HIDDEN; i += THREADS) {
    let difference = x[row + i] - mean;
    squares += difference * difference;
  }
  let scale = inverseSqrt(total(thread, squares) / f32(HIDDEN) + EPSILON);
  for (var i = thread; i < HIDDEN; i += THREADS) {
    let source = perm[i];
    out[row + i] = (x[row + source] - mean) * scale * weight[source] + bias[source];
  }
}
