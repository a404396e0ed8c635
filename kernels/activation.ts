/**
 * How matrix kernels exchange their inputs, 32 numbers at a time.
 *
 * Knows the layout, the WGSL text that writes it, and its sizes. It is no kernel and has no
 * bindings.
 *
 * GPUs multiply bytes four at a time, and two bytes a number are finer than half precision: number
 * i of a chunk is `scale * (128 high[i] + low[i])`, a whole number of 15 bits times a scale. With
 * one byte a number, `scale * high[i]`, it is coarser, and half the work.
 *
 *   vec4 0  high[0..3], high[8..11], high[16..19], high[24..27]
 *   vec4 1  high[4..7], high[12..15], high[20..23], high[28..31]
 *   vec4 2  as 0, of low (unused with one byte a number)
 *   vec4 3  as 1, of low
 *   vec4 4  scale (f32 bits); sum of the whole numbers, which a weight's zero point is multiplied
 *           by; two words unused
 *
 * The even and odd quads lie apart because a word of 4-bit weights holds eight inputs, the first
 * four in the low halves of its bytes, the others in the high ones.
 *
 * In half precision a number is as much work as one byte and nearly as fine as two, but weights have
 * to become halves too, which pays where several rows share them. Each is kept as an eighth
 * (`HALF_SCALE`), so that sums of a chunk hold for numbers up to 16000; beyond they overflow, and the
 * logits are not finite.
 *
 *   vec4 j  of the eight from 8 j, in the order in which masks take them out of a word of weights:
 *           half[0] and half[2], [4] and [6], [1] and [3], [5] and [7]
 *   vec4 4  unused
 *
 * A row of many chunks keeps the first vec4 of all its chunks, then the second of all, and so on:
 * threads that read chunks side by side read memory side by side.
 */

/** Numbers in a chunk. */
export const CHUNK = 32;
/** 32-bit words of a chunk. */
export const CHUNK_WORDS = 20;

/** Bytes of `rows` rows of `width` numbers. */
export function activationBytes(rows: number, width: number): number {
  return rows * width / CHUNK * CHUNK_WORDS * 4;
}

/** What a number is stored as. */
export type Numbers = "int8" | "int16" | "f16";

/** What a number is kept times, in half precision. */
export const HALF_SCALE = 0.125;

/** The same as kernels are told, in the override NUMBERS. */
export const NUMBERS = { int8: 1, int16: 2, f16: 3 } as const;

/**
 * From floats to the whole numbers of a chunk. `size_of(values)` is the size of the largest of four
 * numbers, as bits: they sort as their floats do, and NaN above all, which max() of floats would
 * drop. `whole_numbers(values, largest)` are four of a chunk whose largest size is `largest`,
 * `scale_of(largest)` is its scale, as bits. The kernel declares the override NUMBERS.
 */
export const QUANTISE = `
const INT8 = ${NUMBERS.int8}u;
const INT16 = ${NUMBERS.int16}u;
const F16 = ${NUMBERS.f16}u;
const HALF_SCALE = ${HALF_SCALE};

fn largest_whole() -> f32 {
  return select(16319.0, 127.0, NUMBERS == INT8); // 128 * 127 + 63
}

fn size_of(values: vec4<f32>) -> u32 {
  let size = bitcast<vec4<u32>>(values) & vec4(0x7fffffffu);
  return max(max(size.x, size.y), max(size.z, size.w));
}

fn whole_numbers(values: vec4<f32>, largest: f32) -> vec4<i32> {
  let inverse = select(largest_whole() / largest, 0.0, largest < 1e-30);
  return vec4<i32>(round(values * inverse));
}

fn scale_of(largest: f32) -> u32 {
  return bitcast<u32>(largest / largest_whole());
}
`;

/**
 * `store_quad(values, place, thread, inside)` writes four numbers of a chunk to `y: array<u32>`;
 * `inside` tells threads that have something to write. `place_of(row, chunk, chunks)` is the place
 * of a chunk. The kernel declares y, THREADS and the override NUMBERS.
 *
 * All threads of the workgroup call it, thread t with numbers 4 (t % 8) and up of a chunk that it
 * shares with the seven threads of its group of eight, which agree on `inside`. A number that is not
 * finite leaves a scale that is not, or stays so itself where numbers are halves.
 */
export const STORE_QUAD = QUANTISE + `
var<workgroup> quad_largest: array<u32, THREADS>;
var<workgroup> quad_sum: array<i32, THREADS>;

// First vec4 of a chunk, and the way to its next one.
struct Place { first: u32, stride: u32 }

fn place_of(row: u32, chunk: u32, chunks: u32) -> Place {
  return Place(row * ${CHUNK_WORDS / 4}u * chunks + chunk, chunks);
}

fn store_quad(values: vec4<f32>, place: Place, thread: u32, inside: bool) {
  let part = thread % 8u;
  if (NUMBERS == F16) {
    if (inside) {
      let halves = values * HALF_SCALE;
      let pair = 4u * (place.first + part / 2u * place.stride) + part % 2u;
      y[pair] = pack2x16float(halves.xz);
      y[pair + 2u] = pack2x16float(halves.yw);
    }
    return;
  }
  let mates = thread - part;
  quad_largest[thread] = size_of(values);
  workgroupBarrier();
  let a = max(quad_largest[mates], quad_largest[mates + 1u]);
  let b = max(quad_largest[mates + 2u], quad_largest[mates + 3u]);
  let c = max(quad_largest[mates + 4u], quad_largest[mates + 5u]);
  let d = max(quad_largest[mates + 6u], quad_largest[mates + 7u]);
  let largest = bitcast<f32>(max(max(a, b), max(c, d)));
  let whole = whole_numbers(values, largest);
  quad_sum[thread] = whole.x + whole.y + whole.z + whole.w;
  workgroupBarrier();
  if (!inside) {
    return;
  }
  let at = 4u * (place.first + part % 2u * place.stride) + part / 2u;
  if (NUMBERS == INT8) {
    y[at] = pack4xI8(whole);
  } else {
    let high = (whole + 64) >> vec4(7u);
    y[at] = pack4xI8(high);
    y[at + 8u * place.stride] = pack4xI8(whole - high * 128);
  }
  if (part == 0u) {
    let first = quad_sum[mates] + quad_sum[mates + 1u] + quad_sum[mates + 2u] + quad_sum[mates + 3u];
    let second = quad_sum[mates + 4u] + quad_sum[mates + 5u] + quad_sum[mates + 6u] + quad_sum[mates + 7u];
    let last = 4u * (place.first + 4u * place.stride);
    y[last] = scale_of(largest);
    y[last + 1u] = bitcast<u32>(first + second);
  }
}
`;
