// Attention of one row, from qkv as the matrix left it: rotates queries and key by the row's position
// (NeoX style: dimension d pairs with d + D/2), attends, and appends key and value to the KV cache.
//
//   workgroup (split, heads / 2)    two heads and one run of keys
//   scores:  a thread a key, for both heads; THREADS keys at a time
//   values:  thread = OCTETS * group + octet: eight dimensions of keys group, group + GROUPS, ...
//
// The row's own key and value come from qkv, rounded as the cache rounds them. One workgroup writes
// them to the cache, and nobody here reads that place: what one workgroup writes is stale to others.
// Each head's unnormalised sum of values, its maximum and weight are left for combine_dense.
// The texts of key, score and value loops are made in row_attention.ts.
override HEADS: u32;
override BLOCK: u32; // tokens in a KV block
override SCALE: f32; // 1 / sqrt(HEAD_DIM)
override THREADS: u32;

const LOWEST = -3.0e38;

struct Step { split_keys: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (1): token, position, table, slot
@group(0) @binding(1) var<storage, read> tables: array<u32>; // block numbers, a run a sequence
@group(0) @binding(2) var<storage, read> angles: array<vec2<f32>>; // (positions, HEAD_DIM / 2): cos, sin
@group(0) @binding(3) var<storage, read> qkv: array<f32>; // (HEADS + 2, HEAD_DIM)
@group(0) @binding(4) var<storage, read_write> kv: array<vec4<u32>>; // (blocks, 2, BLOCK, HEAD_DIM / 8) octets of f16
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // (splits, HEADS, HEAD_DIM / 4)
@group(0) @binding(6) var<storage, read_write> peaks: array<vec2<f32>>; // (splits, HEADS): maximum, weight
@group(0) @binding(7) var<uniform> step: Step;

const HALF = HEAD_DIM / 2u;
const OCTETS = HEAD_DIM / 8u;
override GROUPS: u32 = THREADS / OCTETS;
override SUMS: u32 = 4u * THREADS;

// Two queries, rotated and scaled; the row's own key and value.
var<workgroup> vectors: array<vec4<f32>, HEAD_DIM>;
var<workgroup> own: array<vec4<u32>, 2u * OCTETS>; // the latter, as they lie in the cache
var<workgroup> scores: array<vec2<f32>, THREADS>;
var<workgroup> maxima: array<vec4<f32>, 16>; // 32 pairs
var<workgroup> sums: array<vec4<f32>, SUMS>; // (THREADS, 2 heads, 2): eight dimensions of values
var<workgroup> weights: array<vec2<f32>, THREADS>;

// Where octet 0 of a key lies; of its value, BLOCK * OCTETS further.
fn place(table: u32, key: u32) -> u32 {
  return (tables[table + key / BLOCK] * 2u * BLOCK + key % BLOCK) * OCTETS;
}

fn low(octet: vec4<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(octet.x), unpack2x16float(octet.y));
}

fn high(octet: vec4<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(octet.z), unpack2x16float(octet.w));
}

fn put(vector: u32, dimension: u32, value: f32) {
  let i = vector * HEAD_DIM + dimension;
  vectors[i / 4u][i % 4u] = value;
}

// Vectors 0 and 1 are the queries, 2 the key, 3 the value; a thread a pair of dimensions.
fn prepare(first_head: u32, position: u32, thread: u32) {
  for (var i = thread; i < 4u * HALF; i += THREADS) {
    let vector = i / HALF;
    let pair = i % HALF;
    let head = select(min(first_head + vector, HEADS - 1u), HEADS + vector - 2u, vector >= 2u);
    let near = qkv[head * HEAD_DIM + pair];
    let far = qkv[head * HEAD_DIM + pair + HALF];
    var turn = vec2(1.0, 0.0);
    if (vector < 3u) {
      turn = angles[position * HALF + pair];
    }
    let scale = select(1.0, SCALE, vector < 2u);
    put(vector, pair, scale * (near * turn.x - far * turn.y));
    put(vector, pair + HALF, scale * (far * turn.x + near * turn.y));
  }
  workgroupBarrier();
  if (thread < 2u * OCTETS) {
    let a = vectors[HEAD_DIM / 2u + 2u * thread];
    let b = vectors[HEAD_DIM / 2u + 2u * thread + 1u];
    own[thread] = vec4(
      pack2x16float(a.xy),
      pack2x16float(a.zw),
      pack2x16float(b.xy),
      pack2x16float(b.zw),
    );
  }
  workgroupBarrier();
}

// The highest score of each head.
fn highest_of(mine: vec2<f32>, thread: u32) -> vec2<f32> {
  scores[thread] = mine;
  workgroupBarrier();
  if (thread < 32u) {
    var most = scores[thread];
    for (var i = thread + 32u; i < THREADS; i += 32u) {
      most = max(most, scores[i]);
    }
    maxima[thread / 2u][thread % 2u * 2u] = most.x;
    maxima[thread / 2u][thread % 2u * 2u + 1u] = most.y;
  }
  workgroupBarrier();
  var most = maxima[0];
  for (var i = 1u; i < 16u; i += 3u) {
    most = max(most, max(maxima[i], max(maxima[i + 1u], maxima[i + 2u])));
  }
  return max(most.xy, most.zw);
}

// What a thread has seen: of two heads, the weight and eight dimensions of the sum of values.
struct Seen { weight: vec2<f32>, a0: vec4<f32>, b0: vec4<f32>, a1: vec4<f32>, b1: vec4<f32> }

fn see(s: Seen, p: vec2<f32>, octet: vec4<u32>) -> Seen {
  let a = low(octet);
  let b = high(octet);
  return Seen(s.weight + p, s.a0 + p.x * a, s.b0 + p.x * b, s.a1 + p.y * a, s.b1 + p.y * b);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[0];
  let position = row.y;
  let first_head = 2u * group.y;
  let start = group.x * step.split_keys;
  if (start > position) {
    return;
  }
  let cached = min(start + step.split_keys, position); // keys in the cache end there
  let last = start + step.split_keys > position; // the row's own key is in this run
  let end = select(cached, position + 1u, last);
  prepare(first_head, position, thread);
  if (last && group.y == 0u && thread < 2u * OCTETS) {
    kv[place(row.z, position) + thread / OCTETS * BLOCK * OCTETS + thread % OCTETS] = own[thread];
  }

  let octet = thread % OCTETS;
  let key_group = thread / OCTETS;
  var highest = vec2(LOWEST);
  var seen = Seen(vec2(0.0), vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
  for (var tile = start; tile < end; tile += THREADS) {
    let key = tile + thread;
    var mine = vec2(LOWEST);
    if (key < cached) {
      mine = score(place(row.z, key));
    } else if (key < end) {
      mine = own_score();
    }
    let next = max(highest, highest_of(mine, thread));
    weights[thread] = select(vec2(0.0), exp(mine - next), key < end);
    let shrink = exp(highest - next);
    highest = next;
    seen.weight *= shrink;
    seen.a0 *= shrink.x;
    seen.b0 *= shrink.x;
    seen.a1 *= shrink.y;
    seen.b1 *= shrink.y;
    workgroupBarrier();
    if (key_group < GROUPS) {
      let tile_end = min(tile + THREADS, cached);
      // Four keys at a time, so that four loads are under way at once.
      for (var i = tile + key_group; i < tile_end; i += 4u * GROUPS) {
        let keys = i + GROUPS * vec4(0u, 1u, 2u, 3u);
        let at = min(keys, vec4(tile_end - 1u));
        let v0 = kv[place(row.z, at.x) + BLOCK * OCTETS + octet];
        let v1 = kv[place(row.z, at.y) + BLOCK * OCTETS + octet];
        let v2 = kv[place(row.z, at.z) + BLOCK * OCTETS + octet];
        let v3 = kv[place(row.z, at.w) + BLOCK * OCTETS + octet];
        let there = keys < vec4(tile_end);
        seen = see(seen, weights[at.x - tile], v0);
        seen = see(seen, select(vec2(0.0), weights[at.y - tile], there.y), v1);
        seen = see(seen, select(vec2(0.0), weights[at.z - tile], there.z), v2);
        seen = see(seen, select(vec2(0.0), weights[at.w - tile], there.w), v3);
      }
      if (key_group == 0u && end > cached && cached >= tile && cached < tile + THREADS) {
        seen = see(seen, weights[cached - tile], own[OCTETS + octet]);
      }
    }
    // Before anybody writes the next tile's scores and weights, there are two barriers.
  }

  sums[4u * thread] = seen.a0;
  sums[4u * thread + 1u] = seen.b0;
  sums[4u * thread + 2u] = seen.a1;
  sums[4u * thread + 3u] = seen.b1;
  scores[thread] = seen.weight;
  for (var groups = GROUPS; groups > 1u; groups = (groups + 1u) / 2u) {
    let half = (groups + 1u) / 2u;
    workgroupBarrier();
    if (key_group + half < groups) {
      let other = thread + half * OCTETS;
      sums[4u * thread] += sums[4u * other];
      sums[4u * thread + 1u] += sums[4u * other + 1u];
      sums[4u * thread + 2u] += sums[4u * other + 2u];
      sums[4u * thread + 3u] += sums[4u * other + 3u];
      scores[thread] += scores[other];
    }
  }
  if (key_group > 0u) {
    return;
  }
  for (var local = 0u; local < 2u; local++) {
    let head = first_head + local;
    if (head < HEADS) {
      let out = group.x * HEADS + head;
      partial[out * 2u * OCTETS + 2u * octet] = sums[4u * thread + 2u * local];
      partial[out * 2u * OCTETS + 2u * octet + 1u] = sums[4u * thread + 2u * local + 1u];
      if (octet == 0u) {
        peaks[out] = vec2(highest[local], scores[thread][local]);
      }
    }
  }
}
