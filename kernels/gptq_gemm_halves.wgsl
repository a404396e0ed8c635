// Four outputs of a matrix times a chunk of a row, in half precision, two inputs at a time
// (activation.ts): twice the rate of f32. A text of gptq_gemm.wgsl, which declares what it reads.
//
// Weights become halves without a conversion: 0x6400 are the upper bits of 1024, whose lower ten
// count in ones, so q in the lowest bits gives 1024 + q, and q in bits 4 to 7 gives 1024 + 16 q. With
// the zero point taken off they are exact. Sixteen products are added in half precision, the sums of
// chunks in f32; halves of x are at most 1, so that nothing overflows.

// Weights of eight inputs, less the zero point, or eight numbers of x: inputs 0 and 2, 4 and 6, 1 and
// 3, 5 and 7.
struct Eight { a: vec2<f16>, b: vec2<f16>, c: vec2<f16>, d: vec2<f16> }

// A chunk of one output's weights.
struct Weights { e0: Eight, e1: Eight, e2: Eight, e3: Eight }

// Of four outputs.
struct Quad { a: Weights, b: Weights, c: Weights, d: Weights, scale: vec4<f32> }

// The same bits; naga has no bitcast to halves, and the compiler drops the way through f32.
fn halves(bits: u32) -> vec2<f16> {
  return vec2<f16>(unpack2x16float(bits));
}

fn eight_of(words: vec4<u32>) -> Eight {
  return Eight(halves(words.x), halves(words.y), halves(words.z), halves(words.w));
}

fn low(word: u32, zero: f32) -> vec2<f16> {
  return halves((word & 0x000f000fu) | 0x64006400u) - vec2(f16(1024.0 + zero));
}

fn high(word: u32, zero: f32) -> vec2<f16> {
  return fma(halves((word & 0x00f000f0u) | 0x64006400u), vec2(0.0625h), vec2(-f16(64.0 + zero)));
}

// 8-bit weights are kept less 128, as their zero points are: the sign bit turned over adds it again.
fn byte(word: u32, zero: f32) -> vec2<f16> {
  return halves((word & 0x00ff00ffu) ^ 0x64806480u) - vec2(f16(1024.0 + 128.0 + zero));
}

fn narrow(word: u32, zero: f32) -> Eight {
  let upper = word >> 8u;
  return Eight(low(word, zero), high(word, zero), low(upper, zero), high(upper, zero));
}

fn wide(first: u32, second: u32, zero: f32) -> Eight {
  return Eight(byte(first, zero), byte(second, zero), byte(first >> 8u, zero), byte(second >> 8u, zero));
}

fn weights_at(local: u32, chunk: u32, zero: f32) -> Weights {
  if (BITS == 4u) {
    let w = weight[local * CHUNKS + chunk];
    return Weights(narrow(w.x, zero), narrow(w.y, zero), narrow(w.z, zero), narrow(w.w, zero));
  }
  let v = weight[(local * CHUNKS + chunk) * 2u];
  let w = weight[(local * CHUNKS + chunk) * 2u + 1u];
  return Weights(wide(v.x, v.y, zero), wide(v.z, v.w, zero), wide(w.x, w.y, zero), wide(w.z, w.w, zero));
}

fn quad_at(local: u32, chunk: u32) -> Quad {
  let a = scale_zero_at(local, chunk);
  let b = scale_zero_at(local + 1u, chunk);
  let c = scale_zero_at(local + 2u, chunk);
  let d = scale_zero_at(local + 3u, chunk);
  return Quad(
    weights_at(local, chunk, a.y),
    weights_at(local + 1u, chunk, b.y),
    weights_at(local + 2u, chunk, c.y),
    weights_at(local + 3u, chunk, d.y),
    vec4(a.x, b.x, c.x, d.x),
  );
}

fn add_eight(sum: vec2<f16>, w: Eight, x: Eight) -> vec2<f16> {
  return fma(w.d, x.d, fma(w.c, x.c, fma(w.b, x.b, fma(w.a, x.a, sum))));
}

fn dot_chunk(w: Weights, x: Weights) -> f32 {
  let sum = add_eight(add_eight(add_eight(add_eight(vec2(0.0h), w.e0, x.e0), w.e1, x.e1), w.e2, x.e2), w.e3, x.e3);
  return f32(sum.x) + f32(sum.y);
}

// Four outputs' part of a chunk of one row; rows past the last one repeat it and are not stored.
fn product(quad: Quad, row: u32, chunk: u32) -> vec4<f32> {
  let at = min(row, rows.x - 1u) * 5u * CHUNKS + chunk;
  let numbers = Weights(
    eight_of(x[at]),
    eight_of(x[at + CHUNKS]),
    eight_of(x[at + 2u * CHUNKS]),
    eight_of(x[at + 3u * CHUNKS]),
  );
  let scale = bitcast<f32>(x[at + 4u * CHUNKS].x);
  return quad.scale * (scale * vec4(
    dot_chunk(quad.a, numbers),
    dot_chunk(quad.b, numbers),
    dot_chunk(quad.c, numbers),
    dot_chunk(quad.d, numbers),
  ));
}
