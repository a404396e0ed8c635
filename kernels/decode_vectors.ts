/**
 * Vectors of `decode_layers` on their way to workgroup memory, as WGSL text: sums over all threads,
 * numbers as bytes, the norm, the fetching of ffn.
 *
 * Knows the layout of chunks (`activation.ts`) and that a thread has at most two quads of a hidden
 * state. It is no kernel and has no bindings.
 */
export const DECODE_VECTORS = `
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

// A thread's quads of a hidden state: number thread and, where it is below QUADS, thread + THREADS. All
// that a phase needs of them is loaded at once, since WGSL's loops are not unrolled.
struct Two { first: vec4<u32>, second: vec4<u32> }

fn second_quad(thread: u32) -> u32 {
  return min(thread + THREADS, QUADS - 1u);
}

fn load_two(at: u32, thread: u32) -> Two {
  return Two(weights[at + min(thread, QUADS - 1u)], weights[at + second_quad(thread)]);
}

// Into the pool as floats, then as chunks in the order that the next matrix wants.
fn put_floats(first: vec4<f32>, second: vec4<f32>, thread: u32) {
  if (thread < QUADS) {
    pool[thread] = bitcast<vec4<u32>>(first);
  }
  if (thread + THREADS < QUADS) {
    pool[thread + THREADS] = bitcast<vec4<u32>>(second);
  }
  workgroupBarrier();
}

fn put_ordered(order: Two, at: u32, scales_at: u32, thread: u32) {
  if (thread < QUADS) {
    put(gathered(order.first), thread, at, scales_at);
  }
  if (thread + THREADS < QUADS) {
    put(gathered(order.second), thread + THREADS, at, scales_at);
  }
}

// LN x, in the order of up's inputs and of qkv's.
fn norm(layer: u32, thread: u32) {
  let x0 = x[min(thread, QUADS - 1u)];
  let x1 = x[second_quad(thread)];
  let weight = load_two(layer + NORM_WEIGHT, thread);
  let bias = load_two(layer + NORM_BIAS, thread);
  let up_order = load_two(layer + UP_ORDER, thread);
  let there = vec2(select(0.0, 1.0, thread < QUADS), select(0.0, 1.0, thread + THREADS < QUADS));
  let mean = total(there.x * dot(x0, vec4(1.0)) + there.y * dot(x1, vec4(1.0)), 0u, thread) /
    f32(HIDDEN);
  let d0 = x0 - mean;
  let d1 = x1 - mean;
  let squares = total(there.x * dot(d0, d0) + there.y * dot(d1, d1), 1u, thread);
  let scale = inverseSqrt(squares / f32(HIDDEN) + EPSILON);
  put_floats(
    d0 * scale * bitcast<vec4<f32>>(weight.first) + bitcast<vec4<f32>>(bias.first),
    d1 * scale * bitcast<vec4<f32>>(weight.second) + bitcast<vec4<f32>>(bias.second),
    thread,
  );
  put_ordered(up_order, FOR_UP, 0u, thread);
  if (ONE_ORDER == 0u) {
    put_ordered(load_two(layer + QKV_ORDER, thread), FOR_QKV, FOR_QKV_SCALES, thread);
  }
  workgroupBarrier();
}

// All of ffn into the pool, four loads of a thread at once.
fn fetch_ffn(thread: u32) {
  let last = 4u * FFN_CHUNKS + FFN_CHUNKS / 2u - 1u;
  for (var i = thread; i <= last; i += 4u * THREADS) {
    let a = ffn[i];
    let b = ffn[min(i + THREADS, last)];
    let c = ffn[min(i + 2u * THREADS, last)];
    let d = ffn[min(i + 3u * THREADS, last)];
    put_ffn(a, i);
    put_ffn(b, i + THREADS);
    put_ffn(c, i + 2u * THREADS);
    put_ffn(d, i + 3u * THREADS);
  }
  workgroupBarrier();
}

fn put_ffn(words: vec4<u32>, i: u32) {
  if (i < 4u * FFN_CHUNKS) {
    pool[i] = words;
  } else if (i < 4u * FFN_CHUNKS + FFN_CHUNKS / 2u) {
    let chunk = 2u * (i - 4u * FFN_CHUNKS);
    pool_scales[chunk] = words.xy;
    pool_scales[chunk + 1u] = words.zw;
  }
}
`;
