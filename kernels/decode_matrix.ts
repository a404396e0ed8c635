/**
 * A quantised matrix streamed past a vector in workgroup memory, as WGSL text of `decode_layers`.
 *
 * Knows the layouts of `gptq_repack` and of chunks (`activation.ts`). It is no kernel and has no
 * bindings.
 */
import { DOT_BYTES } from "./gptq_finish.ts";

const OUTPUTS = [0, 1, 2, 3];

/**
 * `sums(m, row, lane, lanes)`: outputs row to row + 3 of a matrix, over the chunks lane,
 * lane + lanes, ... of its input.
 *
 * All loads of a chunk come before its arithmetic: they are what takes time. Loading the next chunk
 * ahead costs more than it hides (LOG.md, 2026-11-25).
 */
export function decodeMatrix(bits: number): string {
  const wide = bits === 8;
  const each = (text: (i: number) => string) => OUTPUTS.map(text).join("\n  ");
  const loads = (name: string, offset: number) =>
    each((i) => `let ${name}${i} = weights[first + ${i}u * next + ${offset}u];`);
  const names = [...OUTPUTS.map((i) => `a${i}`), ...(wide ? OUTPUTS.map((i) => `b${i}`) : [])];
  const words = (i: number) =>
    wide
      ? `vec4(w.a${i}.xz, w.b${i}.xz), vec4(w.a${i}.yw, w.b${i}.yw)`
      : `w.a${i} & LOW, (w.a${i} >> vec4(4u)) & LOW`;
  return DOT_BYTES + `
const LOW = vec4<u32>(0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu);

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

// One chunk of four outputs: ${wide ? 32 : 16} bytes of each; scale and zero of each.
struct Loaded {
  ${names.map((name) => `${name}: vec4<u32>,`).join("\n  ")}
  groups: vec4<u32>,
}

fn word(at: u32, i: u32) -> u32 {
  return weights[at + i / 4u][i % 4u];
}

fn load(m: Matrix, row: u32, chunk: u32) -> Loaded {
  let first = m.at + (row * m.chunks + chunk) * ${wide ? 2 : 1}u;
  let next = m.chunks * ${wide ? 2 : 1}u;
  ${loads("a", 0)}
  ${wide ? loads("b", 1) : ""}
  let group = row * m.groups + chunk / m.per_group;
  let groups = vec4(
    word(m.groups_at, group),
    word(m.groups_at, group + m.groups),
    word(m.groups_at, group + 2u * m.groups),
    word(m.groups_at, group + 3u * m.groups),
  );
  return Loaded(${names.join(", ")}, groups);
}

struct Chunk {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  sum: i32,
}

// 32 weights of one output, even quads of inputs and odd ones, times a chunk, but for its scale.
fn product(even: vec4<u32>, odd: vec4<u32>, group: u32, c: Chunk) -> f32 {
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
    ${each((i) => `product(${words(i)}, w.groups[${i}], c),`)}
  );
}

// Outputs row to row + 3 over the chunks lane, lane + lanes, ...
fn sums(m: Matrix, row: u32, lane: u32, lanes: u32) -> vec4<f32> {
  var sum = vec4(0.0);
  for (var chunk = lane; chunk < m.chunks; chunk += lanes) {
    sum += products(m, load(m, row, chunk), chunk);
  }
  return sum;
}
`;
}
