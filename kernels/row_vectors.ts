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
import { partials } from "./row_reductions.ts";

/** Quads of a hidden state that a thread has. */
export function quadsEach(hidden: number, threads: number): number {
  return Math.ceil(hidden / 4 / threads);
}

/** Bytes of workgroup memory that the text below takes. */
export function rowVectorBytes(hidden: number, threads: number, orders: number): number {
  return 16 * Math.max(hidden / 4, threads) +
    16 * Math.max(orders * hidden / 8, partials(threads)) + 8 * orders * hidden / 32;
}

/**
 * The kernel declares HIDDEN, THREADS (a multiple of 32), ORDERS and NUMBERS. A thread's quads
 * are number thread, thread + THREADS, ...: a `Quads` of floats or an `Order` of places.
 *
 * `own_moments(quads, thread)`: of a thread's numbers, for `joined`. `put_floats(quads, thread)`, then
 * `gathered(order)`, as often as there are orders, then `put_chunks(quads, order, thread)` for each.
 * What follows may use the pool. `rowReductions` is what the threads of an octet share by.
 */
export function rowVectors(each: number): string {
  const every = (text: (i: number) => string, between = "\n  ") =>
    Array.from({ length: each }, (_, i) => text(i)).join(between);
  return QUANTISE + `
override QUADS: u32 = HIDDEN / 4u;
override CHUNKS: u32 = HIDDEN / 32u;
override WORDS: u32 = ${each}u * THREADS; // of all quads of all threads, a word of each
override POOL: u32 = max(QUADS, THREADS);
override CHUNK_PARTS: u32 = max(ORDERS * 4u * CHUNKS, PARTIALS);
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

// Of a thread's quads.
fn own_moments(v: Quads, thread: u32) -> Moments {
  ${every((i) => `let there${i} = select(0.0, 1.0, has_quad(thread, ${i}u));`)}
  let count = 4.0 * (${every((i) => `there${i}`, " + ")});
  let mean = (${every((i) => `there${i} * dot(v.q${i}, vec4(1.0))`, " + ")}) / max(count, 1.0);
  ${every((i) => `let d${i} = v.q${i} - mean;`)}
  return Moments(count, mean, ${every((i) => `there${i} * dot(d${i}, d${i})`, " + ")});
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

// What the threads of an octet share of a chunk, and a thread's part of its sum.
struct Whole { largest: f32, sum: u32 }

// Writes quad q of the chunks of an order.
fn put_quad(v: vec4<f32>, q: u32, order: u32) -> Whole {
  let largest = octet_largest(size_of(v), q);
  let whole = whole_numbers(v, largest);
  let part = q % 8u;
  let at = order * 4u * CHUNKS + part % 2u * CHUNKS + q / 8u;
  if (q < QUADS) {
    if (NUMBERS == INT8) {
      chunks[at][part / 2u] = pack4xI8(whole);
    } else {
      let high = (whole + 64) >> vec4(7u);
      chunks[at][part / 2u] = pack4xI8(high);
      chunks[at + 2u * CHUNKS][part / 2u] = pack4xI8(whole - high * 128);
    }
  }
  let sum = bitcast<u32>(whole.x + whole.y + whole.z + whole.w);
  offer(sum, WORDS + q);
  return Whole(largest, sum);
}

fn put_scale(w: Whole, q: u32, order: u32) {
  let sum = octet_sum(w.sum, WORDS + q);
  if (q % 8u == 0u && q < QUADS) {
    scales[order * CHUNKS + q / 8u] = vec2(scale_of(w.largest), sum);
  }
}

fn put_chunks(v: Quads, order: u32, thread: u32) {
  meet();
  ${every((i) => `offer(size_of(v.q${i}), thread + ${i}u * THREADS);`)}
  meet();
  ${every((i) => `let w${i} = put_quad(v.q${i}, thread + ${i}u * THREADS, order);`)}
  meet();
  ${every((i) => `put_scale(w${i}, thread + ${i}u * THREADS, order);`)}
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
