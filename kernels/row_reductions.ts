/**
 * How the threads of a workgroup put numbers together, as WGSL text of the kernels for one row: by
 * subgroups, or where the GPU has none of one size, in workgroup memory.
 *
 * Knows both ways and when the first will do; both declare the same functions. It is no kernel and
 * has no bindings. Only barriers differ: a subgroup needs none.
 */
import type { Gpu } from "../gpu/device.ts";
import type { RowCut } from "./row_cuts.ts";

/** A text with the name that tells it from the others. */
export interface Reductions {
  name: string;
  code: string;
}

/**
 * The kernel declares THREADS, LANES and the memory of `rowVectors`: `pool`, and `chunks`, of which
 * the first PARTIALS are not in use yet when `joined` is called.
 *
 *   joined(moments, thread)      count, mean and squares of all threads' numbers together
 *   meet(), offer(word, place)   what an octet, eight neighbouring threads with places side by side,
 *                                does around the next two: meet, offer, meet
 *   octet_largest(word, place)   the largest of what an octet offered, as a float
 *   octet_sum(word, place)       its sum
 *   add_lanes(sum, thread)       leaves in `pool[thread]` of each lane 0 what its LANES threads have
 *
 * All threads call each of them.
 */
export function rowReductions(gpu: Gpu, { threads, lanes, subgroups }: RowCut): Reductions {
  const width = gpu.subgroupSize;
  if (!subgroups || width < 8 || width > 64 || threads % width !== 0) {
    return { name: "workgroup memory", code: MOMENTS + IN_MEMORY };
  }
  const inside = width % lanes === 0;
  return {
    name: `subgroups of ${width}, ${lanes} lanes`,
    code: MOMENTS + bySubgroups(width) + (inside ? lanesInside(lanes) : LANES_ACROSS),
  };
}

/** Vectors of workgroup memory that a text below wants, at most. */
export function partials(threads: number): number {
  return Math.max(32, threads / 8);
}

/** Means are joined with their squares of differences: no difference of squares, however large. */
const MOMENTS = `
// Of numbers: how many, their mean, the sum of their squared differences from it.
struct Moments { count: f32, mean: f32, squares: f32 }

fn moments_of(v: vec4<u32>) -> Moments {
  let m = bitcast<vec4<f32>>(v);
  return Moments(m.x, m.y, m.z);
}

fn words_of(m: Moments) -> vec4<u32> {
  return bitcast<vec4<u32>>(vec4(m.count, m.mean, m.squares, 0.0));
}

// Of both (Chan, Golub, LeVeque 1983).
fn both(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let part = b.count / max(count, 1.0);
  let difference = b.mean - a.mean;
  return Moments(
    count,
    a.mean + difference * part,
    a.squares + b.squares + difference * difference * a.count * part,
  );
}

fn floats_at(i: u32) -> vec4<f32> {
  return bitcast<vec4<f32>>(pool[i]);
}
`;

const IN_MEMORY = `
override PARTIALS: u32 = 32u;

fn joined(m: Moments, thread: u32) -> Moments {
  pool[thread] = words_of(m);
  workgroupBarrier();
  if (thread < PARTIALS) {
    var part = m;
    for (var i = thread + PARTIALS; i < THREADS; i += PARTIALS) {
      part = both(part, moments_of(pool[i]));
    }
    chunks[thread] = words_of(part);
  }
  workgroupBarrier();
  var all = moments_of(chunks[0]);
  for (var i = 1u; i < PARTIALS; i++) {
    all = both(all, moments_of(chunks[i]));
  }
  return all;
}

fn meet() {
  workgroupBarrier();
}

fn offer(word: u32, place: u32) {
  pool[place / 4u][place % 4u] = word;
}

fn octet_largest(word: u32, place: u32) -> f32 {
  let first = place / 8u * 2u;
  let most = max(pool[first], pool[first + 1u]);
  return bitcast<f32>(max(max(most.x, most.y), max(most.z, most.w)));
}

fn octet_sum(word: u32, place: u32) -> u32 {
  let first = place / 8u * 2u;
  let sum = pool[first] + pool[first + 1u];
  return sum.x + sum.y + sum.z + sum.w;
}

fn add_lanes(sum: vec4<f32>, thread: u32) {
  let lane = thread % LANES;
  pool[thread] = bitcast<vec4<u32>>(sum);
  for (var lanes = LANES; lanes > 1u; lanes = (lanes + 1u) / 2u) {
    let other = (lanes + 1u) / 2u;
    workgroupBarrier();
    if (lane + other < lanes && thread + other < THREADS) {
      pool[thread] = bitcast<vec4<u32>>(floats_at(thread) + floats_at(thread + other));
    }
  }
  workgroupBarrier();
}
`;

function bySubgroups(width: number): string {
  return `
const WIDTH = ${width}u;
override PARTIALS: u32 = THREADS / WIDTH;

// Over a subgroup: as \`both\`, of many.
fn joined_here(m: Moments) -> Moments {
  let count = subgroupAdd(m.count);
  let mean = subgroupAdd(m.count * m.mean) / max(count, 1.0);
  let difference = m.mean - mean;
  return Moments(count, mean, subgroupAdd(m.squares + m.count * difference * difference));
}

fn joined(m: Moments, thread: u32) -> Moments {
  let part = joined_here(m);
  if (thread % WIDTH == 0u) {
    chunks[thread / WIDTH] = words_of(part);
  }
  workgroupBarrier();
  var mine = Moments(0.0, 0.0, 0.0);
  for (var i = thread % WIDTH; i < PARTIALS; i += WIDTH) {
    mine = both(mine, moments_of(chunks[i]));
  }
  return joined_here(mine);
}

fn meet() {}

fn offer(word: u32, place: u32) {}

fn octet_largest(word: u32, place: u32) -> f32 {
  var most = max(word, subgroupShuffleXor(word, 1u));
  most = max(most, subgroupShuffleXor(most, 2u));
  return bitcast<f32>(max(most, subgroupShuffleXor(most, 4u)));
}

fn octet_sum(word: u32, place: u32) -> u32 {
  var sum = word + subgroupShuffleXor(word, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 4u);
}
`;
}

/** The lanes of an output are neighbours in a subgroup. */
function lanesInside(lanes: number): string {
  const steps: string[] = [];
  for (let distance = lanes / 2; distance >= 1; distance /= 2) {
    steps.push(`  total += subgroupShuffleXor(total, ${distance}u);`);
  }
  return `
fn add_lanes(sum: vec4<f32>, thread: u32) {
  var total = sum;
${steps.join("\n")}
  if (thread % LANES == 0u) {
    pool[thread] = bitcast<vec4<u32>>(total);
  }
  workgroupBarrier();
}
`;
}

/** They are not: a subgroup adds up those of an output, then those of another. */
const LANES_ACROSS = `
fn add_lanes(sum: vec4<f32>, thread: u32) {
  pool[thread] = bitcast<vec4<u32>>(sum);
  workgroupBarrier();
  for (var slot = thread / WIDTH; slot < THREADS / LANES; slot += PARTIALS) {
    var total = vec4(0.0);
    for (var lane = thread % WIDTH; lane < LANES; lane += WIDTH) {
      total += floats_at(slot * LANES + lane);
    }
    total = subgroupAdd(total);
    if (thread % WIDTH == 0u) {
      pool[slot * LANES] = bitcast<vec4<u32>>(total);
    }
  }
  workgroupBarrier();
}
`;
