// Puts the runs of keys of one row together, multiplies by the output projection, and adds that and
// what the MLP gave to the residual stream: x += W attention + bias + down.
//
//   every workgroup   all runs of keys -> attention as chunks, in the order of W's inputs, to its
//                     own memory
//   workgroup w       a run of quads of outputs
//   thread            slot = thread / LANES: a quad; lane = thread % LANES: chunks lane,
//                     lane + LANES, ... of its inputs
//
// A thread's first weights are on their way while the runs are put together.
// The texts of quads, chunks and sums are in row_vectors.ts and row_matrix.ts.
override HIDDEN: u32;
override HEADS: u32;
override GROUP_SIZE: u32;
override NUMBERS: u32; // of chunks
override THREADS: u32;
override LANES: u32;
override EARLY: u32; // 1: the first weights are loaded before the runs are put together
override WORKGROUPS: u32;

const ORDERS = 1u;
const LOWEST = -3.0e38;

struct Step { split_keys: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> partial: array<vec4<f32>>; // (splits, HIDDEN / 4): sums of values
@group(0) @binding(1) var<storage, read> peaks: array<vec2<f32>>; // (splits, HEADS): maximum, weight
@group(0) @binding(2) var<storage, read> order: array<vec4<u32>>; // (HIDDEN / 4)
@group(0) @binding(3) var<storage, read> dense_weight: array<vec4<u32>>; // (HIDDEN, HIDDEN * BITS / 128)
@group(0) @binding(4) var<storage, read> dense_groups: array<u32>; // (HIDDEN, groups): f16 scale, f16 zero
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(6) var<storage, read> down: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(7) var<storage, read_write> x: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(8) var<uniform> step: Step;

override HEAD_QUADS: u32 = HIDDEN / HEADS / 4u;

// Four runs at a time, so that four loads are under way at once; runs past the last count nothing.
fn combined(quad: u32) -> vec4<f32> {
  let head = quad / HEAD_QUADS;
  let runs = step.splits;
  var highest = LOWEST;
  var weight = 0.0;
  var sum = vec4(0.0);
  for (var first = 0u; first < runs; first += 4u) {
    let run = first + vec4(0u, 1u, 2u, 3u);
    let at = min(run, vec4(runs - 1u));
    let a = peaks[at.x * HEADS + head];
    let b = peaks[at.y * HEADS + head];
    let c = peaks[at.z * HEADS + head];
    let d = peaks[at.w * HEADS + head];
    let sum_a = partial[at.x * QUADS + quad];
    let sum_b = partial[at.y * QUADS + quad];
    let sum_c = partial[at.z * QUADS + quad];
    let sum_d = partial[at.w * QUADS + quad];
    let next = max(highest, max(max(a.x, b.x), max(c.x, d.x)));
    let shrink = exp(highest - next);
    let scale = select(vec4(0.0), exp(vec4(a.x, b.x, c.x, d.x) - next), run < vec4(runs));
    weight = weight * shrink + dot(scale, vec4(a.y, b.y, c.y, d.y));
    sum = sum * shrink + (scale.x * sum_a + scale.y * sum_b) + (scale.z * sum_c + scale.w * sum_d);
    highest = next;
  }
  return sum / weight;
}

fn cut(w: u32) -> u32 {
  return w * QUADS / WORKGROUPS;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = cut(group.x);
  let quads = cut(group.x + 1u) - first;
  let slot = thread / LANES;
  let lane = thread % LANES;
  let places = order_quads(thread);
  var value = vec4(0.0);
  if (thread < quads) { // one thread a quad, in the end
    value = x[first + thread] + down[first + thread] + bias[first + thread];
  }
  let output = 4u * (first + min(slot, quads - 1u));
  var firsts: Firsts;
  if (EARLY == 1u) {
    firsts = dense_firsts(output, lane);
  }

  put_floats(combined_quads(thread), thread);
  put_chunks(gathered(places), 0u, thread);

  if (EARLY == 0u) {
    firsts = dense_firsts(output, lane);
  }
  var sum = vec4(0.0);
  if (slot < quads) {
    sum = dense_sum(output, lane, 0u, firsts);
  }
  add_lanes(sum, thread);
  if (thread < quads) {
    x[first + thread] = value + floats_at(thread * LANES);
  }
}
