/**
 * Mean and squares of a hidden state, a quad or two a thread, as WGSL text of `decode_layers`:
 * `spread_of(x0, x1, thread)`, of quads thread and thread + THREADS, where these are below QUADS.
 *
 * Knows how sums cross subgroups. It is no kernel and has no bindings.
 */
const SPREAD = `
// The mean of x, and the sum of its squares about it.
struct Spread { mean: f32, squares: f32 }
`;

const TWICE = `
// The sum over all threads; \`turn\` names one of two places, so that one barrier is enough.
fn total(value: f32, turn: u32, thread: u32) -> f32 {
  let sum = subgroupAdd(value);
  if (thread % WIDTH == 0u) {
    partials[turn * SUBGROUPS + thread / WIDTH].x = sum;
  }
  workgroupBarrier();
  var mine = 0.0;
  for (var i = thread % WIDTH; i < SUBGROUPS; i += WIDTH) {
    mine += partials[turn * SUBGROUPS + i].x;
  }
  return subgroupAdd(mine);
}

fn spread_of(x0: vec4<f32>, x1: vec4<f32>, thread: u32) -> Spread {
  let there = vec2(select(0.0, 1.0, thread < QUADS), select(0.0, 1.0, thread + THREADS < QUADS));
  let mean = total(there.x * dot(x0, vec4(1.0)) + there.y * dot(x1, vec4(1.0)), 0u, thread) /
    f32(HIDDEN);
  let d0 = x0 - mean;
  let d1 = x1 - mean;
  return Spread(mean, total(there.x * dot(d0, d0) + there.y * dot(d1, d1), 1u, thread));
}
`;

const ONCE = `
// Numbers of the hidden state in a run of \`WIDTH\` threads' quads.
fn numbers_from(quad: u32) -> u32 {
  return 4u * min(WIDTH, max(QUADS, quad) - quad);
}

// A subgroup's numbers: how many, one of them, the mean and the sum of squares less that one.
// Each takes its squares about its own mean, so that little cancels however large the mean; then
// they are joined: Chan, Golub, LeVeque, 1979.
fn spread_of(x0: vec4<f32>, x1: vec4<f32>, thread: u32) -> Spread {
  let there = vec2(select(0.0, 1.0, thread < QUADS), select(0.0, 1.0, thread + THREADS < QUADS));
  let shift = subgroupBroadcastFirst(x0.x);
  let d0 = there.x * (x0 - shift);
  let d1 = there.y * (x1 - shift);
  let sums = subgroupAdd(vec2(dot(d0 + d1, vec4(1.0)), dot(d0, d0) + dot(d1, d1)));
  if (thread % WIDTH == 0u) {
    let count = f32(numbers_from(thread) + numbers_from(thread + THREADS));
    let offset = sums.x / max(count, 1.0);
    partials[thread / WIDTH] = vec4(count, shift, offset, sums.y - sums.x * offset);
  }
  workgroupBarrier();
  // All means less the first subgroup's number, which large ones have in common.
  let base = partials[0].y;
  var sum = 0.0;
  for (var i = thread % WIDTH; i < SUBGROUPS; i += WIDTH) {
    let s = partials[i];
    sum += s.x * (s.y - base + s.z);
  }
  let mean = subgroupAdd(sum) / f32(HIDDEN);
  var squares = 0.0;
  for (var i = thread % WIDTH; i < SUBGROUPS; i += WIDTH) {
    let s = partials[i];
    let away = s.y - base + s.z - mean;
    squares += s.w + s.x * away * away;
  }
  return Spread(base + mean, subgroupAdd(squares));
}
`;

/** @param once whether one reduction over all threads does it, instead of two */
export function decodeSpread(once: boolean): string {
  return SPREAD + (once ? ONCE : TWICE);
}
