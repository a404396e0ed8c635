/**
 * What a chunk of a vector ends with, and the product that needs it, as WGSL text of
 * `decode_layers`: scale and sums, see `activation.ts`.
 *
 * Knows how 32 weights of an output meet a chunk. It is no kernel and has no bindings.
 */

/**
 * `Tail`, `tail_of(quad)`, `put_ffn_tails(words, i)`, `keep_ffn_tail(chunk, quad)`, and
 * `product(even, odd, group, c)`: 32 weights of one output, even quads of inputs and odd ones, times
 * a chunk, but for its scale.
 *
 * With `signedOdd`, for 4 bits, `odd` is not the high nibbles q but 16 (q - 8), which two masks make
 * of a byte without a shift. Then 16 times the product is a whole number, a multiple of 16 below
 * 2^28 that a float holds exactly: with a the numbers of the chunk,
 *
 *   16 sum (q - zero) a = 16 sum_even q a + sum_odd 16 (q - 8) a + 128 sum_odd a - zero 16 sum a
 */
export function decodeTail(signedOdd: boolean): string {
  return CHUNK + (signedOdd ? SIGNED : PLAIN);
}

const CHUNK = `
fn dot_bytes(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) +
    dot4I8Packed(a.w, b.w);
}

struct Chunk {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  tail: Tail,
}
`;

const PLAIN = `
alias Tail = vec2<u32>; // f32 scale, sum of the whole numbers

fn tail_of(quad: Quad) -> Tail {
  return vec2(quad.scale, bitcast<u32>(quad.sum));
}

const TAILS = 2u; // in 16 bytes

fn put_ffn_tails(words: vec4<u32>, i: u32) {
  pool_scales[2u * i] = words.xy;
  pool_scales[2u * i + 1u] = words.zw;
}

fn keep_ffn_tail(chunk: u32, quad: Quad) {
  let tail = tail_of(quad);
  ffn[4u * FFN_CHUNKS + chunk / 2u][chunk % 2u * 2u] = tail.x;
  ffn[4u * FFN_CHUNKS + chunk / 2u][chunk % 2u * 2u + 1u] = tail.y;
}

fn product(even: vec4<u32>, odd: vec4<u32>, group: u32, c: Chunk) -> f32 {
  let whole = 128 * (dot_bytes(even, c.even_high) + dot_bytes(odd, c.odd_high)) +
    dot_bytes(even, c.even_low) + dot_bytes(odd, c.odd_low);
  let scale_zero = unpack2x16float(group);
  return scale_zero.x * f32(whole - i32(scale_zero.y) * bitcast<i32>(c.tail.y));
}
`;

const SIGNED = `
alias Tail = vec4<u32>; // f32 scale / 16, f32 sum * 16, 128 times the odd quads' sum, unused

fn tail_of(quad: Quad) -> Tail {
  return vec4(
    bitcast<u32>(bitcast<f32>(quad.scale) / 16.0),
    bitcast<u32>(f32(16 * quad.sum)),
    bitcast<u32>(128 * quad.odd_sum),
    0u,
  );
}

const TAILS = 1u; // in 16 bytes

fn put_ffn_tails(words: vec4<u32>, i: u32) {
  pool_scales[i] = words;
}

fn keep_ffn_tail(chunk: u32, quad: Quad) {
  ffn[4u * FFN_CHUNKS + chunk] = tail_of(quad);
}

fn product(even: vec4<u32>, odd: vec4<u32>, group: u32, c: Chunk) -> f32 {
  let low_nibbles = 128 * dot_bytes(even, c.even_high) + dot_bytes(even, c.even_low);
  let high_nibbles = 128 * dot_bytes(odd, c.odd_high) + dot_bytes(odd, c.odd_low) +
    bitcast<i32>(c.tail.z);
  let scale_zero = unpack2x16float(group);
  let sum = bitcast<f32>(c.tail.y);
  return scale_zero.x * (f32(16 * low_nibbles + high_nibbles) - scale_zero.y * sum);
}
`;
