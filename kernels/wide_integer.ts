/**
 * Whole numbers of 64 bits, as WGSL text that kernels put before their own.
 *
 * Knows the arithmetic; it is no kernel and has no bindings.
 */

/** A number is a `vec2<u32>`: low, high. Sums and differences wrap. */
export const WIDE_INTEGER = `
fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn multiply(a: u32, b: u32) -> vec2<u32> {
  let a_low = a & 0xffffu;
  let b_low = b & 0xffffu;
  let a_high = a >> 16u;
  let b_high = b >> 16u;
  let cross = a_high * b_low + ((a_low * b_low) >> 16u);
  let middle = a_low * b_high + (cross & 0xffffu);
  return vec2(a * b, a_high * b_high + (cross >> 16u) + (middle >> 16u));
}
`;
