// Puts the runs of keys of one row together, multiplies by the output projection, and adds that and
// what the MLP gave to the residual stream: x += W attention + bias + down.
//
//   every workgroup   all runs of keys -> attention as chunks, in the order of W's inputs, to its
//                     own memory
//   workgroup w       a run of quads of outputs
//   thread            slot = thread / LANES: a quad; lane = thread % LANES: chunks lane,
//                     lane + LANES, ... of its inputs
//
// The texts of quads, chunks and sums are in row_vectors.ts, row_reductions.ts and row_matrix.ts.
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

// Two runs of keys at a time: 1024 keys each, there are seldom more.
struct Runs { peaks: vec2<f32>, weights: vec2<f32>, sum_a: vec4<f32>, sum_b: vec4<f32> }

// A run past the last is the last again.
fn runs_of(quad: u32, first: u32) -> Runs {
  let head = quad / HEAD_QUADS;
  let next = min(first + 1u, step.splits - 1u);
  let a = peaks[first * HEADS + head];
  let b = peaks[next * HEADS + head];
  return Runs(
    vec2(a.x, b.x),
    vec2(a.y, b.y),
    partial[first * QUADS + quad],
    partial[next * QUADS + quad],
  );
}

// What some runs come to: the highest score, and weight and sum of values relative to it.
struct Combined { highest: f32, weight: f32, sum: vec4<f32> }

// A run past the last counts nothing.
fn with_runs(c: Combined, r: Runs, first: u32) -> Combined {
  let highest = max(c.highest, max(r.peaks.x, r.peaks.y));
  let shrink = exp(c.highest - highest);
  let there = vec2(true, first + 1u < step.splits);
  let scale = select(vec2(0.0), exp(r.peaks - highest), there);
  return Combined(
    highest,
    c.weight * shrink + dot(scale, r.weights),
    c.sum * shrink + scale.x * r.sum_a + scale.y * r.sum_b,
  );
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
