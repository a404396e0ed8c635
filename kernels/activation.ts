/**
 * How matrix kernels exchange their inputs: 32 numbers as two bytes each and a common scale.
 *
 * Knows the layout, the WGSL text that writes it, and its sizes. It is no kernel and has no
 * bindings.
 *
 * GPUs multiply bytes four at a time, and two bytes a number are finer than half precision: number
 * i of a chunk is `scale * (128 high[i] + low[i])`, a whole number of 15 bits times a scale.
 *
 *   word  0.. 3  high[0..3], high[8..11], high[16..19], high[24..27]
 *   word  4.. 7  high[4..7], high[12..15], high[20..23], high[28..31]
 *   word  8..15  the same of low
 *   word 16      scale (f32 bits)
 *   word 17      sum of the whole numbers: what a weight's zero point is multiplied by
 *   word 18, 19  unused: a chunk is five 16-byte loads
 *
 * The even and odd quads lie apart because a word of 4-bit weights holds eight inputs, the first
 * four in the low halves of its bytes, the others in the high ones.
 */

/** Numbers in a chunk. */
export const CHUNK = 32;
/** 32-bit words of a chunk. */
export const CHUNK_WORDS = 20;

/** Bytes of `rows` rows of `width` numbers. */
export function activationBytes(rows: number, width: number): number {
  return rows * width / CHUNK * CHUNK_WORDS * 4;
}

/**
 * `store_quad(values, chunk, thread, inside)` writes four numbers of a chunk to `y: array<u32>`,
 * which the kernel declares; `inside` tells threads that have something to write.
 *
 * All threads of the workgroup (THREADS, which the kernel declares) call it, thread t with numbers
 * 4 (t % 8) and up of a chunk that it shares with the seven threads of its group of eight, which
 * agree on `inside`. A number that is not finite leaves a scale that is not.
 */
export const STORE_QUAD = `
const LARGEST_WHOLE = 16319.0; // 128 * 127 + 63

// Sizes as bits: they sort as their floats do, and NaN above all, which max() of floats would drop.
var<workgroup> quad_largest: array<u32, THREADS>;
var<workgroup> quad_sum: array<i32, THREADS>;

fn store_quad(values: vec4<f32>, chunk: u32, thread: u32, inside: bool) {
  let part = thread % 8u;
  let mates = thread - part;
  let size = bitcast<vec4<u32>>(values) & vec4(0x7fffffffu);
  quad_largest[thread] = max(max(size.x, size.y), max(size.z, size.w));
  workgroupBarrier();
  let a = max(quad_largest[mates], quad_largest[mates + 1u]);
  let b = max(quad_largest[mates + 2u], quad_largest[mates + 3u]);
  let c = max(quad_largest[mates + 4u], quad_largest[mates + 5u]);
  let d = max(quad_largest[mates + 6u], quad_largest[mates + 7u]);
  let largest = bitcast<f32>(max(max(a, b), max(c, d)));
  let inverse = select(LARGEST_WHOLE / largest, 0.0, largest < 1e-30);
  let whole = vec4<i32>(round(values * inverse));
  let high = (whole + 64) >> vec4(7u);
  let low = whole - high * 128;
  quad_sum[thread] = whole.x + whole.y + whole.z + whole.w;
  workgroupBarrier();
  if (!inside) {
    return;
  }
  let at = chunk * ${CHUNK_WORDS}u + (part % 2u) * 4u + part / 2u;
  y[at] = pack4xI8(high);
  y[at + 8u] = pack4xI8(low);
  if (part == 0u) {
    let first = quad_sum[mates] + quad_sum[mates + 1u] + quad_sum[mates + 2u] + quad_sum[mates + 3u];
    let second = quad_sum[mates + 4u] + quad_sum[mates + 5u] + quad_sum[mates + 6u] + quad_sum[mates + 7u];
    y[chunk * ${CHUNK_WORDS}u + 16u] = bitcast<u32>(largest / LARGEST_WHOLE);
    y[chunk * ${CHUNK_WORDS}u + 17u] = bitcast<u32>(first + second);
  }
}
`;
