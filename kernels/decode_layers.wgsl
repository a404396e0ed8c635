// Some layers of the transformer for one row, in one dispatch, each of them
// x += dense(attention(LN x)) + down(gelu(up(LN x))).
//
// As many workgroups as the GPU runs at once share every matrix and meet three times a layer; who
// computes what is in `shares`, a line a workgroup. What they exchange lies in coherent buffers.
//
//   1  every workgroup: LN x, as chunks, to its own memory
//      its outputs of qkv -> qkv      its outputs of up, gelu, as chunks -> ffn
//   -- meet
//   2  all of ffn to its own memory
//      first threads: its outputs of down      last threads: a run of keys for two heads
//      (they stay here)                        -> mix, mix_weights
//   -- meet
//   3  all of mix, as chunks, to its own memory
//      its outputs of dense, the same as of down: x += both
//   -- meet
//
// A matrix: 4 outputs a time by LANES, DOWN_LANES or DENSE_LANES threads; a thread takes the chunks
// lane, lane + LANES, ... of them, and loads the next one before it multiplies. Weights depend on
// nothing, so the first ones of a phase are loaded before the meeting that the phase waits for.
// Attention: eight threads, an octet, share a key; each has eight dimensions of it, for two heads.
//
// All weights of the layers lie in one buffer, a layer's parts always in the same places, counted
// here in 16 bytes: X_AT a matrix, (outputs, inputs * BITS / 128); X_GROUPS its scales and zeros,
// (outputs, groups) of u32; X_BIAS (outputs / 4); X_ORDER the order of its inputs, (inputs / 4).
override LAYERS: u32;
override LAYER_SIZE: u32;
override QKV_AT: u32;
override UP_AT: u32;
override DOWN_AT: u32;
override DENSE_AT: u32;
override QKV_GROUPS: u32;
override UP_GROUPS: u32;
override DOWN_GROUPS: u32;
override DENSE_GROUPS: u32;
override QKV_BIAS: u32;
override UP_BIAS: u32;
override DOWN_BIAS: u32;
override DENSE_BIAS: u32;
override QKV_ORDER: u32;
override UP_ORDER: u32;
override DENSE_ORDER: u32;
override NORM_WEIGHT: u32;
override NORM_BIAS: u32;
override KV_SIZE: u32; // of a layer's keys and values, in 16 bytes

override BITS: u32;
override HIDDEN: u32;
override FFN: u32;
override HEADS: u32;
override BLOCK: u32; // tokens in a KV block
override EPSILON: f32;
override HIDDEN_GROUP: u32; // inputs that share a scale, in matrices that read the hidden state
override FFN_GROUP: u32; // the same in down
override ONE_ORDER: u32; // 1: qkv and up read their inputs in one order, in all layers
override MOST_RUNS: u32; // that a row's keys are cut in
override KEYS_PER_RUN: u32; // unless that would make more runs

override THREADS: u32;
override WIDTH: u32; // threads of a subgroup
override LANES: u32; // at most WIDTH
override DOWN_LANES: u32; // a multiple of WIDTH, as DENSE_LANES
override DENSE_LANES: u32;
override ATTENTION: u32; // threads that attend
override UP_QUADS: u32; // most quads of outputs of up that a workgroup has
override OUT_QUADS: u32; // the same of down
override UNITS: u32; // most runs of keys and pairs of heads that a workgroup attends to

const HEAD_DIM = 64u;
const LOWEST = -3.0e38;
const LARGEST_WHOLE = 16319.0; // 128 * 127 + 63

override QUADS: u32 = HIDDEN / 4u;
override HIDDEN_CHUNKS: u32 = HIDDEN / 32u;
override FFN_CHUNKS: u32 = FFN / 32u;
override SUBGROUPS: u32 = THREADS / WIDTH;
override ATTENDERS: u32 = ATTENTION / WIDTH; // subgroups that attend
override PAIRS: u32 = (HEADS + 1u) / 2u; // of heads

// In the pool: a hidden state as floats, then as chunks, in one order or two; or ffn as chunks.
override FOR_UP: u32 = QUADS;
override FOR_QKV: u32 = QUADS + (1u - ONE_ORDER) * 4u * HIDDEN_CHUNKS;
override FOR_QKV_SCALES: u32 = (1u - ONE_ORDER) * HIDDEN_CHUNKS;
override POOL: u32 = max(FOR_QKV + 4u * HIDDEN_CHUNKS, 4u * FFN_CHUNKS);
override POOL_SCALES: u32 = max(2u * HIDDEN_CHUNKS, FFN_CHUNKS);
override PARTIALS: u32 = max(2u * SUBGROUPS, OUT_QUADS * max(DOWN_LANES, DENSE_LANES) / WIDTH);

struct Share {
  up_first: u32,
  up_units: u32,
  qkv_first: u32,
  qkv_quads: u32,
  out_first: u32,
  out_quads: u32,
  rank: u32,
  unused: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // (LAYERS, LAYER_SIZE)
@group(0) @binding(1) var<storage, read> shares: array<Share>; // (workgroups)
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>; // (1): token, position, table, slot
@group(0) @binding(3) var<storage, read> tables: array<u32>; // block numbers, a run a sequence
@group(0) @binding(4) var<storage, read> angles: array<vec4<f32>>; // (positions, 16): cos, sin, cos, sin
@group(0) @binding(5) var<storage, read_write> kv: array<vec4<u32>>; // (LAYERS, blocks, 2, BLOCK, 8) octets of f16
@group(0) @binding(6) var<storage, read_write> meeting: Meeting;
@group(0) @binding(7) @coherent var<storage, read_write> x: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(8) @coherent var<storage, read_write> qkv: array<vec4<f32>>; // (HEADS + 2, 16)
@group(0) @binding(9) @coherent var<storage, read_write> ffn: array<vec4<u32>>; // (4, FFN / 32), then scales
@group(0) @binding(10) @coherent var<storage, read_write> mix: array<vec4<f32>>; // (runs, HEADS, 16)
@group(0) @binding(11) @coherent var<storage, read_write> mix_weights: array<vec2<f32>>; // (runs, HEADS): maximum, weight

// Vectors in chunks of 32 numbers (activation.ts), with each part of a chunk in a run of its own, so
// that neighbouring threads read neighbouring words: even_high, odd_high, even_low, odd_low.
var<workgroup> pool: array<vec4<u32>, POOL>;
var<workgroup> pool_scales: array<vec2<u32>, POOL_SCALES>; // f32 scale, sum of the whole numbers
var<workgroup> partials: array<vec4<f32>, PARTIALS>;
var<workgroup> gelus: array<vec4<f32>, UP_QUADS>;
var<workgroup> attended: array<array<f32, 66>, UNITS * ATTENDERS * 2u>; // maximum, weight, sum of values

// ---- matrices

// Where a matrix lies, and the chunks of its input.
struct Matrix {
  at: u32,
  groups_at: u32,
  chunks: u32,
  groups: u32,
  per_group: u32, // chunks
  input_at: u32,
  scales_at: u32,
}

fn hidden_matrix(at: u32, groups_at: u32, input_at: u32, scales_at: u32) -> Matrix {
  return Matrix(at, groups_at, HIDDEN_CHUNKS, (HIDDEN + HIDDEN_GROUP - 1u) / HIDDEN_GROUP,
    HIDDEN_GROUP / 32u, input_at, scales_at);
}

fn down_matrix(layer: u32) -> Matrix {
  return Matrix(layer + DOWN_AT, layer + DOWN_GROUPS, FFN_CHUNKS, (FFN + FFN_GROUP - 1u) / FFN_GROUP,
    FFN_GROUP / 32u, 0u, 0u);
}

fn dense_matrix(layer: u32) -> Matrix {
  return hidden_matrix(layer + DENSE_AT, layer + DENSE_GROUPS, FOR_UP, 0u);
}

// One chunk of four outputs: 16 bytes of each, or 32; scale and zero of each.
struct Loaded {
  a0: vec4<u32>,
  a1: vec4<u32>,
  a2: vec4<u32>,
  a3: vec4<u32>,
  b0: vec4<u32>,
  b1: vec4<u32>,
  b2: vec4<u32>,
  b3: vec4<u32>,
  groups: vec4<u32>,
}

fn word(at: u32, i: u32) -> u32 {
  return weights[at + i / 4u][i % 4u];
}

fn load(m: Matrix, row: u32, chunk: u32) -> Loaded {
  let wide = BITS / 4u;
  let first = m.at + (row * m.chunks + chunk) * wide;
  let next = m.chunks * wide;
  let a0 = weights[first];
  let a1 = weights[first + next];
  let a2 = weights[first + 2u * next];
  let a3 = weights[first + 3u * next];
  var b0 = a0;
  var b1 = a1;
  var b2 = a2;
  var b3 = a3;
  if (BITS == 8u) {
    b0 = weights[first + 1u];
    b1 = weights[first + next + 1u];
    b2 = weights[first + 2u * next + 1u];
    b3 = weights[first + 3u * next + 1u];
  }
  let group = row * m.groups + chunk / m.per_group;
  let groups = vec4(
    word(m.groups_at, group),
    word(m.groups_at, group + m.groups),
    word(m.groups_at, group + 2u * m.groups),
    word(m.groups_at, group + 3u * m.groups),
  );
  return Loaded(a0, a1, a2, a3, b0, b1, b2, b3, groups);
}

struct Chunk {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  sum: i32,
}

fn dot_bytes(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) +
    dot4I8Packed(a.w, b.w);
}

// 32 weights of one output times a chunk, but for the scale of the chunk. In 4 bits even quads of
// inputs lie in the low halves of bytes, odd ones in the high halves.
fn product(a: vec4<u32>, b: vec4<u32>, group: u32, c: Chunk) -> f32 {
  var even = a & vec4(0x0f0f0f0fu);
  var odd = (a >> vec4(4u)) & vec4(0x0f0f0f0fu);
  if (BITS == 8u) {
    even = vec4(a.xz, b.xz);
    odd = vec4(a.yw, b.yw);
  }
  let whole = 128 * (dot_bytes(even, c.even_high) + dot_bytes(odd, c.odd_high)) +
    dot_bytes(even, c.even_low) + dot_bytes(odd, c.odd_low);
  let scale_zero = unpack2x16float(group);
  return scale_zero.x * f32(whole - i32(scale_zero.y) * c.sum);
}

fn products(m: Matrix, w: Loaded, chunk: u32) -> vec4<f32> {
  let at = m.input_at + chunk;
  let scale_sum = pool_scales[m.scales_at + chunk];
  let c = Chunk(pool[at], pool[at + m.chunks], pool[at + 2u * m.chunks], pool[at + 3u * m.chunks],
    bitcast<i32>(scale_sum.y));
  return bitcast<f32>(scale_sum.x) * vec4(
    product(w.a0, w.b0, w.groups.x, c),
    product(w.a1, w.b1, w.groups.y, c),
    product(w.a2, w.b2, w.groups.z, c),
    product(w.a3, w.b3, w.groups.w, c),
  );
}

// Outputs row to row + 3 over the chunks lane, lane + lanes, ...; the first of them is loaded.
fn sums(m: Matrix, first: Loaded, row: u32, lane: u32, lanes: u32) -> vec4<f32> {
  var sum = vec4(0.0);
  var now = first;
  for (var chunk = lane; chunk < m.chunks; chunk += lanes) {
    var next = now;
    if (chunk + lanes < m.chunks) {
      next = load(m, row, chunk + lanes);
    }
    sum += products(m, now, chunk);
    now = next;
  }
  return sum;
}

// ---- 1: norm, qkv and up

// The sum over all threads; `turn` names one of two places, so that one barrier is enough.
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

struct Quad { high: u32, low: u32, scale: u32, sum: u32 }

// Four numbers as bytes, with the scale and the sum of the chunk that an octet shares.
fn quantised(values: vec4<f32>) -> Quad {
  let size = bitcast<vec4<u32>>(values) & vec4(0x7fffffffu);
  var bits = max(max(size.x, size.y), max(size.z, size.w));
  bits = max(bits, subgroupShuffleXor(bits, 1u));
  bits = max(bits, subgroupShuffleXor(bits, 2u));
  bits = max(bits, subgroupShuffleXor(bits, 4u));
  let largest = bitcast<f32>(bits);
  let inverse = select(LARGEST_WHOLE / largest, 0.0, largest < 1e-30);
  let whole = vec4<i32>(round(values * inverse));
  let high = (whole + 64) >> vec4(7u);
  var sum = whole.x + whole.y + whole.z + whole.w;
  sum += subgroupShuffleXor(sum, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  sum += subgroupShuffleXor(sum, 4u);
  let scale = bitcast<u32>(largest / LARGEST_WHOLE);
  return Quad(pack4xI8(high), pack4xI8(whole - high * 128), scale, bitcast<u32>(sum));
}

// Writes quad i of a hidden state as chunks.
fn put(values: vec4<f32>, i: u32, at: u32, scales_at: u32) {
  let quad = quantised(values);
  let chunk = i / 8u;
  let part = i % 8u;
  pool[at + (part % 2u) * HIDDEN_CHUNKS + chunk][part / 2u] = quad.high;
  pool[at + (2u + part % 2u) * HIDDEN_CHUNKS + chunk][part / 2u] = quad.low;
  if (part == 0u) {
    pool_scales[scales_at + chunk] = vec2(quad.scale, quad.sum);
  }
}

// Four numbers of the hidden state that lies in the pool as floats.
fn gathered(i: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4(
    pool[i.x / 4u][i.x % 4u],
    pool[i.y / 4u][i.y % 4u],
    pool[i.z / 4u][i.z % 4u],
    pool[i.w / 4u][i.w % 4u],
  ));
}

fn norm(layer: u32, thread: u32) {
  var sum = 0.0;
  for (var i = thread; i < QUADS; i += THREADS) {
    let values = x[i];
    pool[i] = bitcast<vec4<u32>>(values);
    sum += values.x + values.y + values.z + values.w;
  }
  let mean = total(sum, 0u, thread) / f32(HIDDEN);
  var squares = 0.0;
  for (var i = thread; i < QUADS; i += THREADS) {
    let difference = bitcast<vec4<f32>>(pool[i]) - mean;
    squares += dot(difference, difference);
  }
  let scale = inverseSqrt(total(squares, 1u, thread) / f32(HIDDEN) + EPSILON);
  for (var i = thread; i < QUADS; i += THREADS) {
    let difference = bitcast<vec4<f32>>(pool[i]) - mean;
    let weight = bitcast<vec4<f32>>(weights[layer + NORM_WEIGHT + i]);
    let bias = bitcast<vec4<f32>>(weights[layer + NORM_BIAS + i]);
    pool[i] = bitcast<vec4<u32>>(difference * scale * weight + bias);
  }
  workgroupBarrier();
  for (var i = thread; i < QUADS; i += THREADS) {
    put(gathered(weights[layer + UP_ORDER + i]), i, FOR_UP, 0u);
    if (ONE_ORDER == 0u) {
      put(gathered(weights[layer + QKV_ORDER + i]), i, FOR_QKV, FOR_QKV_SCALES);
    }
  }
  workgroupBarrier();
}

// The matrix and the row of the `mine`-th quad of this workgroup: first those of up, then qkv's.
fn wide_matrix(layer: u32, share: Share, mine: u32) -> Matrix {
  if (mine < 8u * share.up_units) {
    return hidden_matrix(layer + UP_AT, layer + UP_GROUPS, FOR_UP, 0u);
  }
  return hidden_matrix(layer + QKV_AT, layer + QKV_GROUPS, FOR_QKV, FOR_QKV_SCALES);
}

fn wide_row(share: Share, mine: u32) -> u32 {
  let up_quads = 8u * share.up_units;
  return 4u * select(share.qkv_first + mine - up_quads, 8u * share.up_first + mine, mine < up_quads);
}

fn load_wide(layer: u32, share: Share, mine: u32, lane: u32) -> Loaded {
  var loaded: Loaded;
  if (mine < 8u * share.up_units + share.qkv_quads && lane < HIDDEN_CHUNKS) {
    loaded = load(wide_matrix(layer, share, mine), wide_row(share, mine), lane);
  }
  return loaded;
}

fn widen(layer: u32, share: Share, ahead: Loaded, thread: u32) {
  let up_quads = 8u * share.up_units;
  let quads = up_quads + share.qkv_quads;
  let lane = thread % LANES;
  var first = ahead;
  for (var base = 0u; base < quads; base += THREADS / LANES) {
    let mine = base + thread / LANES;
    if (base > 0u) {
      first = load_wide(layer, share, mine, lane);
    }
    var sum = vec4(0.0);
    if (mine < quads) {
      sum = sums(wide_matrix(layer, share, mine), first, wide_row(share, mine), lane, LANES);
    }
    sum = lanes_total(sum);
    if (lane == 0u && mine < quads) {
      let quad = wide_row(share, mine) / 4u;
      if (mine < up_quads) {
        gelus[mine] = gelu(sum + bitcast<vec4<f32>>(weights[layer + UP_BIAS + quad]));
      } else {
        qkv[quad] = sum + bitcast<vec4<f32>>(weights[layer + QKV_BIAS + quad]);
      }
    }
  }
  workgroupBarrier();
  for (var mine = thread; mine < up_quads; mine += THREADS) {
    let quad = quantised(gelus[mine]);
    let chunk = share.up_first + mine / 8u;
    let part = mine % 8u;
    ffn[(part % 2u) * FFN_CHUNKS + chunk][part / 2u] = quad.high;
    ffn[(2u + part % 2u) * FFN_CHUNKS + chunk][part / 2u] = quad.low;
    if (part == 0u) {
      ffn[4u * FFN_CHUNKS + chunk / 2u][chunk % 2u * 2u] = quad.scale;
      ffn[4u * FFN_CHUNKS + chunk / 2u][chunk % 2u * 2u + 1u] = quad.sum;
    }
  }
}

// ---- 2 and 3: down and dense, whose outputs are the same

fn fetch_ffn(thread: u32) {
  for (var i = thread; i < 4u * FFN_CHUNKS; i += THREADS) {
    pool[i] = ffn[i];
  }
  for (var i = thread; i < FFN_CHUNKS / 2u; i += THREADS) {
    let two = ffn[4u * FFN_CHUNKS + i];
    pool_scales[2u * i] = two.xy;
    pool_scales[2u * i + 1u] = two.zw;
  }
  workgroupBarrier();
}

// Threads that share an output of these matrices, and how many outputs are computed at once.
struct Team { lanes: u32, count: u32 }

fn load_out(m: Matrix, share: Share, team: Team, thread: u32) -> Loaded {
  var loaded: Loaded;
  let mine = thread / team.lanes;
  if (mine < min(team.count, share.out_quads) && thread % team.lanes < m.chunks) {
    loaded = load(m, 4u * (share.out_first + mine), thread % team.lanes);
  }
  return loaded;
}

// To the partial sums, one of each subgroup.
fn narrow(m: Matrix, share: Share, team: Team, ahead: Loaded, thread: u32) {
  let lane = thread % team.lanes;
  var first = ahead;
  for (var base = 0u; base < share.out_quads; base += team.count) {
    let mine = base + thread / team.lanes;
    if (mine >= min(base + team.count, share.out_quads)) {
      break;
    }
    let row = 4u * (share.out_first + mine);
    if (base > 0u && lane < m.chunks) {
      first = load(m, row, lane);
    }
    let sum = subgroupAdd(sums(m, first, row, lane, team.lanes));
    if (lane % WIDTH == 0u) {
      partials[(mine * team.lanes + lane) / WIDTH] = sum;
    }
  }
}

fn partials_total(mine: u32, each: u32) -> vec4<f32> {
  var sum = vec4(0.0);
  for (var i = 0u; i < each; i++) {
    sum += partials[mine * each + i];
  }
  return sum;
}

// ---- 2: attention

// The runs that a row's keys are cut in, its own key in the last one.
struct Runs { count: u32, keys: u32 }

fn runs_of(position: u32) -> Runs {
  let count = min(position / KEYS_PER_RUN + 1u, MOST_RUNS);
  return Runs(count, (position + count) / count);
}

struct Eight { a: vec4<f32>, b: vec4<f32> }

// Eight dimensions of a head of qkv, rotated by its position: dimension d pairs with d + 32.
fn rotated(head: u32, o: u32, position: u32) -> Eight {
  let own = head * 16u + 2u * o;
  let other = head * 16u + (2u * o + 8u) % 16u;
  let at = position * 16u + 4u * (o % 4u);
  let first = angles[at];
  let second = angles[at + 1u];
  let third = angles[at + 2u];
  let fourth = angles[at + 3u];
  let sign = select(1.0, -1.0, o < 4u);
  return Eight(
    qkv[own] * vec4(first.xz, second.xz) + sign * qkv[other] * vec4(first.yw, second.yw),
    qkv[own + 1u] * vec4(third.xz, fourth.xz) + sign * qkv[other + 1u] * vec4(third.yw, fourth.yw),
  );
}

fn halves(v: Eight) -> vec4<u32> {
  return vec4(
    pack2x16float(v.a.xy),
    pack2x16float(v.a.zw),
    pack2x16float(v.b.xy),
    pack2x16float(v.b.zw),
  );
}

fn floats(w: vec4<u32>) -> Eight {
  return Eight(
    vec4(unpack2x16float(w.x), unpack2x16float(w.y)),
    vec4(unpack2x16float(w.z), unpack2x16float(w.w)),
  );
}

fn octet_total(value: vec4<f32>) -> vec4<f32> {
  var sum = value + subgroupShuffleXor(value, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 4u);
}

fn dot8(k: Eight, q: Eight) -> f32 {
  return dot(k.a, q.a) + dot(k.b, q.b);
}

// What an octet, then a subgroup, knows of one head: attention over the keys it has seen.
struct Seen { highest: f32, weight: f32, a: vec4<f32>, b: vec4<f32> }

fn see(s: Seen, scores: vec4<f32>, v0: Eight, v1: Eight, v2: Eight, v3: Eight) -> Seen {
  let highest = max(s.highest, max(max(scores.x, scores.y), max(scores.z, scores.w)));
  let shrink = exp(s.highest - highest);
  let p = exp(scores - highest);
  return Seen(
    highest,
    s.weight * shrink + (p.x + p.y) + (p.z + p.w),
    s.a * shrink + (p.x * v0.a + p.y * v1.a) + (p.z * v2.a + p.w * v3.a),
    s.b * shrink + (p.x * v0.b + p.y * v1.b) + (p.z * v2.b + p.w * v3.b),
  );
}

// Joins with the octet `distance` threads away.
fn joined(s: Seen, distance: u32) -> Seen {
  let highest = max(s.highest, subgroupShuffleXor(s.highest, distance));
  let shrink = exp(s.highest - highest);
  let weight = s.weight * shrink;
  let a = s.a * shrink;
  let b = s.b * shrink;
  return Seen(
    highest,
    weight + subgroupShuffleXor(weight, distance),
    a + subgroupShuffleXor(a, distance),
    b + subgroupShuffleXor(b, distance),
  );
}

// One run of keys for two heads, by the ATTENTION last threads. The row's own key and value are not
// in the cache yet: the first octet of the last run takes them from qkv.
fn attend(layer_kv: u32, unit: u32, slot: u32, attender: u32) {
  let row = rows[0];
  let position = row.y;
  let o = attender % 8u;
  let octet = attender / 8u;
  let octets = ATTENTION / 8u;
  let head = unit % PAIRS * 2u;
  let run = unit / PAIRS;
  let runs = runs_of(position);
  let end = min(position, (run + 1u) * runs.keys);
  let scale = 0.125; // 1 / sqrt(HEAD_DIM)

  let q0 = rotated(head, o, position);
  let q1 = rotated(min(head + 1u, HEADS - 1u), o, position);
  let new_key = halves(rotated(HEADS, o, position));
  let value_at = (HEADS + 1u) * 16u + 2u * o;
  let new_value = halves(Eight(qkv[value_at], qkv[value_at + 1u]));
  let own = run + 1u == runs.count && octet == 0u;
  if (own && head == 0u) {
    let block = tables[row.z + position / BLOCK];
    let place = layer_kv + (block * 2u * BLOCK + position % BLOCK) * 8u + o;
    kv[place] = new_key;
    kv[place + BLOCK * 8u] = new_value;
  }
  let key = floats(new_key);
  let value = floats(new_value);
  let own_scores = octet_total(vec4(dot8(key, q0), dot8(key, q1), 0.0, 0.0)) * scale;
  let there = select(0.0, 1.0, own);
  var seen0 = Seen(select(LOWEST, own_scores.x, own), there, there * value.a, there * value.b);
  var seen1 = Seen(select(LOWEST, own_scores.y, own), there, there * value.a, there * value.b);

  for (var first = run * runs.keys + octet; first < end; first += 4u * octets) {
    let keys = first + octets * vec4(0u, 1u, 2u, 3u);
    let inside = keys < vec4(end);
    let at = min(keys, vec4(end - 1u));
    let blocks = vec4(
      tables[row.z + at.x / BLOCK],
      tables[row.z + at.y / BLOCK],
      tables[row.z + at.z / BLOCK],
      tables[row.z + at.w / BLOCK],
    );
    let place = layer_kv + (blocks * 2u * BLOCK + at % BLOCK) * 8u + o;
    let w0 = kv[place.x];
    let w1 = kv[place.y];
    let w2 = kv[place.z];
    let w3 = kv[place.w];
    let v0 = floats(kv[place.x + BLOCK * 8u]);
    let v1 = floats(kv[place.y + BLOCK * 8u]);
    let v2 = floats(kv[place.z + BLOCK * 8u]);
    let v3 = floats(kv[place.w + BLOCK * 8u]);
    let k0 = floats(w0);
    let k1 = floats(w1);
    let k2 = floats(w2);
    let k3 = floats(w3);
    let scores0 = octet_total(vec4(dot8(k0, q0), dot8(k1, q0), dot8(k2, q0), dot8(k3, q0))) * scale;
    let scores1 = octet_total(vec4(dot8(k0, q1), dot8(k1, q1), dot8(k2, q1), dot8(k3, q1))) * scale;
    seen0 = see(seen0, select(vec4(LOWEST), scores0, inside), v0, v1, v2, v3);
    seen1 = see(seen1, select(vec4(LOWEST), scores1, inside), v0, v1, v2, v3);
  }
  for (var distance = 8u; distance < WIDTH; distance *= 2u) {
    seen0 = joined(seen0, distance);
    seen1 = joined(seen1, distance);
  }
  if (attender % WIDTH < 8u) {
    let place = (slot * ATTENDERS + attender / WIDTH) * 2u;
    keep(place, o, seen0);
    keep(place + 1u, o, seen1);
  }
}

fn keep(place: u32, o: u32, s: Seen) {
  if (o == 0u) {
    attended[place][0] = s.highest;
    attended[place][1] = s.weight;
  }
  for (var i = 0u; i < 4u; i++) {
    attended[place][2u + 8u * o + i] = s.a[i];
    attended[place][6u + 8u * o + i] = s.b[i];
  }
}

// What the subgroups have seen of one run and two heads, put together: 16 threads a head.
fn publish(unit: u32, slot: u32, thread: u32) {
  let local = thread / 16u;
  let head = unit % PAIRS * 2u + local;
  if (local >= 2u || head >= HEADS) {
    return;
  }
  let quad = thread % 16u;
  let at = slot * ATTENDERS * 2u + local;
  var highest = LOWEST;
  for (var i = 0u; i < ATTENDERS; i++) {
    highest = max(highest, attended[at + 2u * i][0]);
  }
  var weight = 0.0;
  var sum = vec4(0.0);
  for (var i = 0u; i < ATTENDERS; i++) {
    let from_one = at + 2u * i;
    let shrink = exp(attended[from_one][0] - highest);
    weight += shrink * attended[from_one][1];
    sum += shrink * vec4(
      attended[from_one][2u + 4u * quad],
      attended[from_one][3u + 4u * quad],
      attended[from_one][4u + 4u * quad],
      attended[from_one][5u + 4u * quad],
    );
  }
  let place = unit / PAIRS * HEADS + head;
  mix[place * 16u + quad] = sum / weight;
  if (quad == 0u) {
    mix_weights[place] = vec2(highest, weight);
  }
}

// ---- 3: attention's output

// Four numbers of it, over all runs.
fn mixed(i: u32, runs: u32) -> vec4<f32> {
  if (runs == 1u) {
    return mix[i];
  }
  let head = i / 16u;
  var highest = LOWEST;
  for (var run = 0u; run < runs; run++) {
    highest = max(highest, mix_weights[run * HEADS + head].x);
  }
  var weight = 0.0;
  var sum = vec4(0.0);
  for (var run = 0u; run < runs; run++) {
    let known = mix_weights[run * HEADS + head];
    let part = exp(known.x - highest) * known.y;
    weight += part;
    sum += part * mix[run * QUADS + i];
  }
  return sum / weight;
}

// Into the pool, in the order of dense's inputs.
fn fetch_mix(layer: u32, runs: u32, thread: u32) {
  for (var i = thread; i < QUADS; i += THREADS) {
    pool[i] = bitcast<vec4<u32>>(mixed(i, runs));
  }
  workgroupBarrier();
  for (var i = thread; i < QUADS; i += THREADS) {
    put(gathered(weights[layer + DENSE_ORDER + i]), i, FOR_UP, 0u);
  }
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let share = shares[workgroup.x];
  let runs = runs_of(rows[0].y).count;
  let down_team = Team(DOWN_LANES, (THREADS - ATTENTION) / DOWN_LANES);
  let dense_team = Team(DENSE_LANES, THREADS / DENSE_LANES);
  arrive(workgroup.x, thread);
  var wide = load_wide(0u, share, thread / LANES, thread % LANES);
  for (var i = 0u; i < LAYERS; i++) {
    let layer = i * LAYER_SIZE;
    norm(layer, thread);
    widen(layer, share, wide, thread);
    let down = load_out(down_matrix(layer), share, down_team, thread);
    meet(thread, workgroups.x);

    fetch_ffn(thread);
    narrow(down_matrix(layer), share, down_team, down, thread);
    if (thread >= THREADS - ATTENTION) {
      var slot = 0u;
      for (var unit = share.rank; unit < PAIRS * runs; unit += workgroups.x) {
        attend(i * KV_SIZE, unit, slot, thread - (THREADS - ATTENTION));
        slot += 1u;
      }
    }
    let dense = load_out(dense_matrix(layer), share, dense_team, thread);
    workgroupBarrier();
    var slot = 0u;
    for (var unit = share.rank; unit < PAIRS * runs; unit += workgroups.x) {
      publish(unit, slot, thread);
      slot += 1u;
    }
    let mine = min(thread, share.out_quads);
    let quad = share.out_first + mine;
    var sum = vec4(0.0);
    if (thread < share.out_quads) {
      sum = x[quad] + partials_total(mine, DOWN_LANES / WIDTH) +
        bitcast<vec4<f32>>(weights[layer + DOWN_BIAS + quad]) +
        bitcast<vec4<f32>>(weights[layer + DENSE_BIAS + quad]);
    }
    meet(thread, workgroups.x);

    fetch_mix(layer, runs, thread);
    narrow(dense_matrix(layer), share, dense_team, dense, thread);
    if (i + 1u < LAYERS) {
      wide = load_wide(layer + LAYER_SIZE, share, thread / LANES, thread % LANES);
    }
    workgroupBarrier();
    if (thread < share.out_quads) {
      x[quad] = sum + partials_total(mine, DENSE_LANES / WIDTH);
    }
    if (i + 1u < LAYERS) {
      meet(thread, workgroups.x);
    }
  }
  leave(workgroup.x, thread);
}
