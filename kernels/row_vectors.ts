/**
 * A hidden state that every workgroup keeps for itself, as WGSL text of the kernels for one row:
 * floats, then put in a matrix's order, then chunks.
 *
 * Knows the layout of chunks (`activation.ts`). It is no kernel and has no bindings.
 *
 *   floats, natural order   pool     (HIDDEN / 4)
 *   gathered by an order             each thread its quads, in registers
 *   chunks                  chunks   (orders, 4, HIDDEN / 32): a run for each part of a chunk
 *                           scales   (orders, HIDDEN / 32): scale, sum of the whole numbers
 */
import { QUANTISE } from "./activation.ts";

/** Quads of a hidden state that a thread has. */
export function quadsEach(hidden: number, threads: number): number {
  return Math.ceil(hidden / 4 / threads);
}

/** Bytes of workgroup memory that the text below takes. */
export function rowVectorBytes(hidden: number, threads: number, orders: number): number {
  return 16 * Math.max(hidden / 4, threads) + 16 * Math.max(orders * hidden / 8, 8) +
    8 * orders * hidden / 32;
}

/**
 * The kernel declares HIDDEN, THREADS (a multiple of 32), ORDERS and NUMBERS. A thread's quads
 * are number thread, thread + THREADS, ...: a `Quads` of floats or an `Order` of places.
 *
 * `total(value, thread)`: the sum over all threads. `put_floats(quads, thread)`, then
 * `gathered(order)`, as often as there are orders, then `put_chunks(quads, order, thread)` for each.
 * What follows may use the pool.
 */
export function rowVectors(each: number): string {
  const every = (text: (i: number) => string, between = "\n  ") =>
    Array.from({ length: each }, (_, i) => text(i)).join(between);
  return QUANTISE + `
override QUADS: u32 = HIDDEN / 4u;
override CHUNKS: u32 = HIDDEN / 32u;
override POOL: u32 = max(QUADS, THREADS);
override CHUNK_PARTS: u32 = max(ORDERS * 4u * CHUNKS, 8u);
override SCALES: u32 = ORDERS * CHUNKS;

var<workgroup> pool: array<vec4<u32>, POOL>;
var<workgroup> chunks: array<vec4<u32>, CHUNK_PARTS>;
var<workgroup> scales: array<vec2<u32>, SCALES>;

struct Quads { ${every((i) => `q${i}: vec4<f32>`, ", ")} }
struct Order { ${every((i) => `q${i}: vec4<u32>`, ", ")} }

// A thread's i-th quad; the last one again when there is none.
fn quad_of(thread: u32, i: u32) -> u32 {
  return min(thread + i * THREADS, QUADS - 1u);
}

fn has_quad(thread: u32, i: u32) -> bool {
  return thread + i * THREADS < QUADS;
}

// The pool as words.
fn put_word(i: u32, word: u32) {
  pool[i / 4u][i % 4u] = word;
}

fn total(value: f32, thread: u32) -> f32 {
  put_word(thread, bitcast<u32>(value));
  workgroupBarrier();
  if (thread < 32u) {
    var sum = 0.0;
    for (var i = thread; i < THREADS; i += 32u) {
      sum += bitcast<f32>(pool[i / 4u][i % 4u]);
    }
    chunks[thread / 4u][thread % 4u] = bitcast<u32>(sum); // they are not in use yet
  }
  workgroupBarrier();
  let sum = ${
    Array.from({ length: 8 }, (_, i) => `bitcast<vec4<f32>>(chunks[${i}])`).join(" +\n    ")
  };
  return sum.x + sum.y + sum.z + sum.w;
}

fn put_floats(v: Quads, thread: u32) {
  ${
    every((i) =>
      `if (has_quad(thread, ${i}u)) { pool[thread + ${i}u * THREADS] = bitcast<vec4<u32>>(v.q${i}); }`
    )
  }
  workgroupBarrier();
}

fn gathered_quad(i: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4(
    pool[i.x / 4u][i.x % 4u],
    pool[i.y / 4u][i.y % 4u],
    pool[i.z / 4u][i.z % 4u],
    pool[i.w / 4u][i.w % 4u],
  ));
}

fn gathered(order: Order) -> Quads {
  return Quads(${every((i) => `gathered_quad(order.q${i})`, ", ")});
}

// Of eight words of the pool from \`first\`, a multiple of eight: the largest as a float, the sum.
fn octet_largest(first: u32) -> f32 {
  let most = max(pool[first / 4u], pool[first / 4u + 1u]);
  return bitcast<f32>(max(max(most.x, most.y), max(most.z, most.w)));
}

fn octet_sum(first: u32) -> u32 {
  let sum = pool[first / 4u] + pool[first / 4u + 1u];
  return sum.x + sum.y + sum.z + sum.w;
}

// Writes quad q of the chunks of an order, and its sum for the chunk's.
fn put_quad(v: vec4<f32>, q: u32, order: u32) {
  let whole = whole_numbers(v, octet_largest(q - q % 8u));
  let part = q % 8u;
  let at = order * 4u * CHUNKS + part % 2u * CHUNKS + q / 8u;
  if (NUMBERS == INT8) {
    chunks[at][part / 2u] = pack4xI8(whole);
  } else {
    let high = (whole + 64) >> vec4(7u);
    chunks[at][part / 2u] = pack4xI8(high);
    chunks[at + 2u * CHUNKS][part / 2u] = pack4xI8(whole - high * 128);
  }
  put_word(QUADS + q, bitcast<u32>(whole.x + whole.y + whole.z + whole.w));
}

fn put_chunks(v: Quads, order: u32, thread: u32) {
  workgroupBarrier();
  ${
    every((i) =>
      `if (has_quad(thread, ${i}u)) { put_word(thread + ${i}u * THREADS, size_of(v.q${i})); }`
    )
  }
  workgroupBarrier();
  ${
    every((i) =>
      `if (has_quad(thread, ${i}u)) { put_quad(v.q${i}, thread + ${i}u * THREADS, order); }`
    )
  }
  workgroupBarrier();
  for (var chunk = thread; chunk < CHUNKS; chunk += THREADS) {
    let scale = scale_of(octet_largest(8u * chunk));
    scales[order * CHUNKS + chunk] = vec2(scale, octet_sum(QUADS + 8u * chunk));
  }
  workgroupBarrier();
}
`;
}

/** `NAME_quads(thread)`: a thread's quads of the binding NAME, an array of vec4. */
export function quadsOf(name: string, each: number, type: "Quads" | "Order"): string {
  const places = Array.from({ length: each }, (_, i) => `${name}[quad_of(thread, ${i}u)]`);
  return `
fn ${name}_quads(thread: u32) -> ${type} {
  return ${type}(${places.join(", ")});
}
`;
}
