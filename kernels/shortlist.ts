/**
 * The best few of the keys that the threads of one workgroup hold, best first, as WGSL text that
 * kernels put before their own.
 *
 * Knows nothing of where keys come from. It is no kernel and has no bindings; the kernel declares
 * THREADS = 256 and, in workgroup memory, `pairs`: vec2<u32>, FINALISTS of them.
 *
 * Threads form groups of two. At least `wanted` keys are no lower than the `wanted`-th best of the
 * groups' best keys, the threshold, and few others are: those finalists are compared with each
 * other. Keys above the threshold lie in fewer than MOST_WANTED groups, so there is room for all of
 * them; of those equal to it some may be left out, never so many that fewer than `wanted` are left.
 */

/** Largest top-k that goes this way. */
export const MOST_CANDIDATES = 64;

/** One more than a row may keep: it tells whether equals of the last one were left out. */
export const MOST_WANTED = MOST_CANDIDATES + 1;

const GROUPS = 128;

/** Keys compared at once: WGSL's loops are not unrolled. */
const AT_ONCE = Array.from({ length: 8 }, (_, i) => i);

/** For kernels whose threads hold up to `keys` keys. */
export function shortlist(keys: number): string {
  // Keys above the threshold, then as many equal to it as may be wanted; a multiple of eight.
  const finalists = (MOST_WANTED - 1) * 2 * keys + MOST_WANTED + 7;
  const all = (text: (i: number) => string) => AT_ONCE.map(text).join(" +\n      ");
  return `
const MOST_WANTED = ${MOST_WANTED}u;
const GROUPS = ${GROUPS}u;
const FINALISTS = ${finalists - finalists % 8}u;

var<workgroup> second_keys: array<u32, GROUPS>; // of the second threads of groups
var<workgroup> group_keys: array<u32, GROUPS>;
var<workgroup> threshold: u32;
var<workgroup> finalists_seen: atomic<u32>;

// Takes the best key of each thread, 0 where it has none; for all threads, before \`rank_groups\`.
fn gather_groups(own: u32, thread: u32) {
  if (thread >= GROUPS) {
    second_keys[thread - GROUPS] = own;
  }
  workgroupBarrier();
  if (thread < GROUPS) {
    group_keys[thread] = max(own, second_keys[thread]);
  }
  workgroupBarrier();
}

fn group_is_ahead(other: u32, group: u32, key: u32) -> u32 {
  let other_key = group_keys[other];
  return select(0u, 1u, other_key > key || (other_key == key && other < group));
}

// Finds the threshold; for the first GROUPS threads, with a barrier after it.
fn rank_groups(wanted: u32, group: u32) {
  if (wanted == 0u) {
    return;
  }
  let key = group_keys[group];
  var rank = 0u;
  for (var i = 0u; i < GROUPS; i += 8u) {
    rank += ${all((i) => `group_is_ahead(i + ${i}u, group, key)`)};
  }
  if (rank + 1u == wanted) {
    threshold = key;
  }
}

// Those above the threshold first, those equal to it after a barrier; no key is 0.
fn enter(key: u32, id: u32) {
  let at = atomicAdd(&finalists_seen, 1u);
  if (at < FINALISTS) {
    pairs[at] = vec2(key, id);
  }
}

fn finalist_count() -> u32 {
  return min(atomicLoad(&finalists_seen), FINALISTS);
}

fn finalist_is_ahead(other: u32, own: vec2<u32>) -> u32 {
  let pair = pairs[other];
  return select(0u, 1u, pair.x > own.x || (pair.x == own.x && pair.y < own.y));
}

// Place of a finalist, from 0: by its key, then the lowest id.
fn rank_of(own: vec2<u32>, count: u32) -> u32 {
  var rank = 0u;
  // What follows the last finalist is zero, ahead of nobody.
  for (var i = 0u; i < count; i += 8u) {
    rank += ${all((i) => `finalist_is_ahead(i + ${i}u, own)`)};
  }
  return rank;
}
`;
}
