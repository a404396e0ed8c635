// Layer norm of one row, and the two matrices that read it: qkv = W_qkv LN(x) + bias, and
// ffn = gelu(W_up LN(x) + bias) as chunks.
//
//   every workgroup   x, norm's weight and bias, both orders -> LN(x) as chunks, to its own memory
//   workgroup w       outputs of up in units of 32, outputs of qkv in quads that make up for the
//                     difference (row_cuts.ts)
//   thread            slot = thread / LANES: a quad of outputs, first those of up, then those of qkv
//                     lane = thread % LANES: chunks lane, lane + LANES, ... of its inputs
//
// All that a thread needs to prepare its input is loaded first. x is not written.
// The texts of quads, chunks and sums are in row_vectors.ts, row_reductions.ts and row_matrix.ts.
override HIDDEN: u32;
override FFN: u32;
override QKV: u32; // outputs
override EPSILON: f32;
override GROUP_SIZE: u32;
override NUMBERS: u32; // of chunks
override ORDERS: u32; // 1: qkv and up read their inputs in one order
override THREADS: u32;
override LANES: u32;
override EARLY: u32; // 1: the first weights are loaded before LN(x) is computed
override WORKGROUPS: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(1) var<storage, read> norm_weight: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(2) var<storage, read> norm_bias: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(3) var<storage, read> up_order: array<vec4<u32>>; // (HIDDEN / 4)
@group(0) @binding(4) var<storage, read> qkv_order: array<vec4<u32>>; // (HIDDEN / 4)
@group(0) @binding(5) var<storage, read> up_weight: array<vec4<u32>>; // (FFN, HIDDEN * BITS / 128)
@group(0) @binding(6) var<storage, read> up_groups: array<u32>; // (FFN, groups): f16 scale, f16 zero
@group(0) @binding(7) var<storage, read> up_bias: array<vec4<f32>>; // (FFN / 4)
@group(0) @binding(8) var<storage, read> qkv_weight: array<vec4<u32>>; // (QKV, HIDDEN * BITS / 128)
@group(0) @binding(9) var<storage, read> qkv_groups: array<u32>; // (QKV, groups)
@group(0) @binding(10) var<storage, read> qkv_bias: array<vec4<f32>>; // (QKV / 4)
@group(0) @binding(11) var<storage, read_write> ffn: array<u32>; // (FFN / 32) chunks
@group(0) @binding(12) var<storage, read_write> qkv: array<vec4<f32>>; // (QKV / 4)

override UNITS: u32 = FFN / 32u;
override ALL_QUADS: u32 = (FFN + QKV) / 4u;

// Quads of outputs: of up from up_first on, of qkv from qkv_first on, `quads` together.
struct Share { up_first: u32, up_quads: u32, qkv_first: u32, quads: u32 }

fn cut(things: u32, w: u32) -> u32 {
  return w * things / WORKGROUPS;
}

fn share_of(w: u32) -> Share {
  let first = 8u * cut(UNITS, w);
  return Share(
    first,
    8u * cut(UNITS, w + 1u) - first,
    cut(ALL_QUADS, w) - first,
    cut(ALL_QUADS, w + 1u) - cut(ALL_QUADS, w),
  );
}

fn firsts_of(share: Share, slot: u32, lane: u32) -> Firsts {
  var firsts: Firsts;
  if (slot < share.up_quads) {
    firsts = up_firsts(4u * (share.up_first + slot), lane);
  } else if (slot < share.quads) {
    firsts = qkv_firsts(4u * (share.qkv_first + slot - share.up_quads), lane);
  }
  return firsts;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let share = share_of(group.x);
  let slot = thread / LANES;
  let lane = thread % LANES;
  let values = x_quads(thread);
  let pivot = x[0].x;
  let weights = norm_weight_quads(thread);
  let biases = norm_bias_quads(thread);
  let for_up = up_order_quads(thread);
  let for_qkv = qkv_order_quads(thread);
  // One thread a quad, in the end: its bias.
  let qkv_quad = share.qkv_first + thread - share.up_quads;
  var value = vec4(0.0);
  if (thread < share.up_quads) {
    value = up_bias[share.up_first + thread];
  } else if (thread < share.quads) {
    value = qkv_bias[qkv_quad];
  }
  var firsts: Firsts;
  if (EARLY == 1u) {
    firsts = firsts_of(share, slot, lane);
  }

  put_floats(normed(values, pivot, weights, biases, thread), thread);
  let up_inputs = gathered(for_up);
  if (ORDERS == 2u) {
    let qkv_inputs = gathered(for_qkv);
    put_chunks(up_inputs, 0u, thread);
    put_chunks(qkv_inputs, 1u, thread);
  } else {
    put_chunks(up_inputs, 0u, thread);
  }

  if (EARLY == 0u) {
    firsts = firsts_of(share, slot, lane);
  }
  var sum = vec4(0.0);
  if (slot < share.up_quads) {
    sum = up_sum(4u * (share.up_first + slot), lane, 0u, firsts);
  } else if (slot < share.quads) {
    let quad = share.qkv_first + slot - share.up_quads;
    sum = qkv_sum(4u * quad, lane, ORDERS - 1u, firsts);
  }
  add_lanes(sum, thread);

  let of_up = thread < share.up_quads;
  if (thread < share.quads) {
    value += floats_at(thread * LANES);
    if (!of_up) {
      qkv[qkv_quad] = value;
    }
  }
  value = gelu(value);
  meet();
  let size = size_of(value);
  offer(size, thread);
  meet();
  let part = thread % 8u;
  let largest = octet_largest(size, thread);
  let whole = whole_numbers(value, largest);
  let word = bitcast<u32>(whole.x + whole.y + whole.z + whole.w);
  offer(word, THREADS + thread);
  meet();
  let whole_sum = octet_sum(word, THREADS + thread);
  if (!of_up) {
    return;
  }
  let chunk = (share.up_first + thread) / 8u;
  let at = 4u * (part % 2u * UNITS + chunk) + part / 2u;
  if (NUMBERS == INT8) {
    ffn[at] = pack4xI8(whole);
  } else {
    let high = (whole + 64) >> vec4(7u);
    ffn[at] = pack4xI8(high);
    ffn[at + 8u * UNITS] = pack4xI8(whole - high * 128);
  }
  if (part == 0u) {
    let last = 4u * (4u * UNITS + chunk);
    ffn[last] = scale_of(largest);
    ffn[last + 1u] = whole_sum;
  }
}
