/**
 * Four outputs of a matrix times a chunk of a row in integer products of four bytes, as WGSL text of
 * `gptq_gemm`.
 *
 * Knows the layouts of `gptq_repack` and `activation.ts`. It is no kernel and has no bindings;
 * `dot_bytes` is in `gptq_finish.ts`.
 */
export const BYTES = `
// A chunk of one output's weights: bytes for the even and the odd quads of inputs.
struct Weights { even: vec4<u32>, odd: vec4<u32> }

// Of four outputs.
struct Quad { a: Weights, b: Weights, c: Weights, d: Weights, scale: vec4<f32>, zero: vec4<f32> }

fn weights_at(local: u32, chunk: u32) -> Weights {
  if (BITS == 4u) {
    let words = weight[local * CHUNKS + chunk];
    let mask = vec4(0x0f0f0f0fu);
    return Weights(words & mask, (words >> vec4(4u)) & mask);
  }
  let first = weight[(local * CHUNKS + chunk) * 2u];
  let second = weight[(local * CHUNKS + chunk) * 2u + 1u];
  return Weights(vec4(first.xz, second.xz), vec4(first.yw, second.yw));
}

fn quad_at(local: u32, chunk: u32) -> Quad {
  let a = scale_zero_at(local, chunk);
  let b = scale_zero_at(local + 1u, chunk);
  let c = scale_zero_at(local + 2u, chunk);
  let d = scale_zero_at(local + 3u, chunk);
  return Quad(
    weights_at(local, chunk),
    weights_at(local + 1u, chunk),
    weights_at(local + 2u, chunk),
    weights_at(local + 3u, chunk),
    vec4(a.x, b.x, c.x, d.x),
    vec4(a.y, b.y, c.y, d.y),
  );
}

fn dots(quad: Quad, even: vec4<u32>, odd: vec4<u32>) -> vec4<i32> {
  return vec4(
    dot_bytes(quad.a.even, even) + dot_bytes(quad.a.odd, odd),
    dot_bytes(quad.b.even, even) + dot_bytes(quad.b.odd, odd),
    dot_bytes(quad.c.even, even) + dot_bytes(quad.c.odd, odd),
    dot_bytes(quad.d.even, even) + dot_bytes(quad.d.odd, odd),
  );
}

// Four outputs' part of a chunk of one row; rows past the last one repeat it and are not stored.
fn product(quad: Quad, row: u32, chunk: u32) -> vec4<f32> {
  let at = min(row, rows.x - 1u) * 5u * CHUNKS + chunk;
  var whole = dots(quad, x[at], x[at + CHUNKS]);
  if (NUMBERS == INT16) {
    whole = 128 * whole + dots(quad, x[at + 2u * CHUNKS], x[at + 3u * CHUNKS]);
  }
  let last = x[at + 4u * CHUNKS];
  let sum = f32(bitcast<i32>(last.y));
  return quad.scale * (bitcast<f32>(last.x) * (vec4<f32>(whole) - quad.zero * sum));
}
`;

/** What the kernel does with quad `q` of a thread's outputs and a chunk: adds to sum0_q, sum1_q, ... */
export function byteProducts(q: number, rows: number): string {
  const row = (r: number) => `sum${r}_${q} += product(quad, row + ${r}u, chunk);`;
  return `{
      let quad = quad_at(min(local + ${q}u * 4u * GROUPS_OF_LANES, slice.count - 4u), chunk);
      ${Array.from({ length: rows }, (_, r) => row(r)).join("\n      ")}
    }`;
}
