// Multi-query attention over the KV cache: one workgroup takes one row, eight heads, and one run of
// keys; every key is read once for the eight heads. It leaves, for each head, the unnormalised sum
// of values with its running maximum and weight, which attention_combine puts together.
//
//   workgroup (split, heads / 8, row)      thread = 32 * head + lane
//   scores:  thread (head, lane) takes key `lane` of a tile of 32
//   values:  thread (head, lane) takes dimension pairs lane and lane + 32
override HEADS: u32;
override HEAD_DIM: u32;
override BLOCK: u32; // tokens in a KV block, a multiple of the tile

const TILE = 32u; // keys at a time
const GROUP = 8u; // heads a workgroup
const THREADS = TILE * GROUP;
const LOWEST = -3.0e38;

struct Step { split_keys: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (rows): token, position, table, slot
@group(0) @binding(1) var<storage, read> tables: array<u32>; // block numbers, a run a sequence
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>; // (rows, HEADS, HEAD_DIM / 2), scaled
@group(0) @binding(3) var<storage, read> kv: array<u32>; // (blocks, 2, BLOCK, HEAD_DIM / 2) pairs of f16
@group(0) @binding(4) var<storage, read_write> partial: array<f32>; // (rows, splits, HEADS, HEAD_DIM + 2)
@group(0) @binding(5) var<uniform> step: Step;

override PAIRS: u32 = HEAD_DIM / 2u;
override STRIDE: u32 = HEAD_DIM / 2u + 1u; // one word of padding keeps 32 keys in 32 banks

var<workgroup> queries: array<vec2<f32>, GROUP * PAIRS>;
var<workgroup> keys: array<u32, TILE * STRIDE>;
var<workgroup> values: array<u32, TILE * PAIRS>;
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> weights: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[group.z];
  let keys_in_all = row.y + 1u;
  let start = group.x * step.split_keys;
  if (start >= keys_in_all) {
    return;
  }
  let end = min(start + step.split_keys, keys_in_all);
  let local_head = thread / TILE;
  let lane = thread % TILE;
  let head = group.y * GROUP + local_head;

  for (var i = thread; i < GROUP * PAIRS; i += THREADS) {
    let h = group.y * GROUP + i / PAIRS;
    if (h < HEADS) {
      queries[i] = q[(group.z * HEADS + h) * PAIRS + i % PAIRS];
    }
  }

  var highest = LOWEST;
  var weight = 0.0;
  var sum0 = vec2(0.0);
  var sum1 = vec2(0.0);
  for (var tile = start; tile < end; tile += TILE) {
    let block = tables[row.z + tile / BLOCK];
    let first = (block * 2u * BLOCK + tile % BLOCK) * PAIRS;
    workgroupBarrier();
    for (var i = thread; i < TILE * PAIRS; i += THREADS) {
      keys[(i / PAIRS) * STRIDE + i % PAIRS] = kv[first + i];
      // Nobody has written the values behind the last key: they could be anything, NaN too.
      values[i] = select(0u, kv[first + BLOCK * PAIRS + i], tile + i / PAIRS < end);
    }
    workgroupBarrier();
    var score = LOWEST;
    if (tile + lane < end) {
      score = 0.0;
      // Four at a time: a loop costs as much as a step of it.
      for (var i = 0u; i < PAIRS; i += 4u) {
        let a = local_head * PAIRS + i;
        let b = lane * STRIDE + i;
        score += dot(queries[a], unpack2x16float(keys[b])) +
          dot(queries[a + 1u], unpack2x16float(keys[b + 1u])) +
          dot(queries[a + 2u], unpack2x16float(keys[b + 2u])) +
          dot(queries[a + 3u], unpack2x16float(keys[b + 3u]));
      }
    }
    scores[thread] = score;
    workgroupBarrier();
    let mine = local_head * TILE;
    var next = highest;
    for (var i = mine; i < mine + TILE; i += 4u) {
      next = max(next, max(max(scores[i], scores[i + 1u]), max(scores[i + 2u], scores[i + 3u])));
    }
    weights[thread] = exp(score - next);
    workgroupBarrier();
    let shrink = exp(highest - next);
    highest = next;
    weight *= shrink;
    sum0 *= shrink;
    sum1 *= shrink;
    let pair = min(lane, PAIRS - 1u);
    for (var i = 0u; i < TILE; i += 4u) {
      let a = weights[mine + i];
      let b = weights[mine + i + 1u];
      let c = weights[mine + i + 2u];
      let d = weights[mine + i + 3u];
      let at = i * PAIRS + pair;
      weight += (a + b) + (c + d);
      sum0 += a * unpack2x16float(values[at]) + b * unpack2x16float(values[at + PAIRS]) +
        c * unpack2x16float(values[at + 2u * PAIRS]) + d * unpack2x16float(values[at + 3u * PAIRS]);
    }
    if (PAIRS > TILE) {
      let second = min(lane + TILE, PAIRS - 1u);
      for (var i = 0u; i < TILE; i++) {
        sum1 += weights[mine + i] * unpack2x16float(values[i * PAIRS + second]);
      }
    }
  }

  if (head >= HEADS) {
    return;
  }
  let out = ((group.z * step.splits + group.x) * HEADS + head) * (HEAD_DIM + 2u);
  if (lane == 0u) {
    partial[out] = highest;
    partial[out + 1u] = weight;
  }
  if (lane < PAIRS) {
    partial[out + 2u + 2u * lane] = sum0.x;
    partial[out + 3u + 2u * lane] = sum0.y;
  }
  if (lane + TILE < PAIRS) {
    partial[out + 2u + 2u * (lane + TILE)] = sum1.x;
    partial[out + 3u + 2u * (lane + TILE)] = sum1.y;
  }
}
