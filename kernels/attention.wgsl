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
      values[i] = kv[first + BLOCK * PAIRS + i];
    }
    workgroupBarrier();
    var score = LOWEST;
    if (tile + lane < end) {
      score = 0.0;
      for (var i = 0u; i < PAIRS; i++) {
        score += dot(queries[local_head * PAIRS + i], unpack2x16float(keys[lane * STRIDE + i]));
      }
    }
    scores[thread] = score;
    workgroupBarrier();
    var next = highest;
    for (var i = 0u; i < TILE; i++) {
      next = max(next, scores[local_head * TILE + i]);
    }
    let shrink = exp(highest - next);
    highest = next;
    weight *= shrink;
    sum0 *= shrink;
    sum1 *= shrink;
    for (var i = 0u; i < min(TILE, end - tile); i++) {
      let p = exp(scores[local_head * TILE + i] - highest);
      weight += p;
      sum0 += p * unpack2x16float(values[i * PAIRS + min(lane, PAIRS - 1u)]);
      if (PAIRS > TILE) {
        sum1 += p * unpack2x16float(values[i * PAIRS + min(lane + TILE, PAIRS - 1u)]);
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
