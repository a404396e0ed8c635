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
// A matrix: four outputs at a time by LANES, DOWN_LANES or DENSE_LANES threads. Attention: see
// decode_attention.ts.
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

fn widen(layer: u32, share: Share, thread: u32) {
  let up_quads = 8u * share.up_units;
  let quads = up_quads + share.qkv_quads;
  let lane = thread % LANES;
  for (var base = 0u; base < quads; base += THREADS / LANES) {
    let mine = base + thread / LANES;
    var sum = vec4(0.0);
    if (mine < quads) {
      sum = sums(wide_matrix(layer, share, mine), wide_row(share, mine), lane, LANES);
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

// Threads that share an output of these matrices, and how many outputs are computed at once.
struct Team { lanes: u32, count: u32 }

// To the partial sums, one of each subgroup.
fn narrow(m: Matrix, share: Share, team: Team, thread: u32) {
  let lane = thread % team.lanes;
  if (thread / team.lanes >= team.count) {
    return;
  }
  for (var mine = thread / team.lanes; mine < share.out_quads; mine += team.count) {
    let sum = subgroupAdd(sums(m, 4u * (share.out_first + mine), lane, team.lanes));
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
  for (var i = 0u; i < LAYERS; i++) {
    let layer = i * LAYER_SIZE;
    norm(layer, thread);
    widen(layer, share, thread);
    meet(thread, workgroups.x);

    fetch_ffn(thread);
    narrow(down_matrix(layer), share, down_team, thread);
    if (thread >= THREADS - ATTENTION) {
      var slot = 0u;
      for (var unit = share.rank; unit < PAIRS * runs; unit += workgroups.x) {
        attend(i * KV_SIZE, unit, slot, thread - (THREADS - ATTENTION));
        slot += 1u;
      }
    }
    let order = load_two(layer + DENSE_ORDER, thread);
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

    let mix0 = mixed(min(thread, QUADS - 1u), runs);
    let mix1 = mixed(second_quad(thread), runs);
    put_floats(mix0, mix1, thread);
    put_ordered(order, FOR_UP, 0u, thread);
    workgroupBarrier();
    narrow(dense_matrix(layer), share, dense_team, thread);
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
