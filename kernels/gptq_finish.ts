/**
 * What both matrix kernels do alike, as WGSL text that they put before their own: the integer inner
 * product, and the last step of an output.
 *
 * Knows the three epilogues; it is no kernel and has no bindings.
 */
import { STORE_QUAD } from "./activation.ts";
import { GELU } from "./gelu.ts";

/** `dot_bytes(a, b)` multiplies sixteen signed bytes by sixteen. */
export const DOT_BYTES = `
fn dot_bytes(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) +
    dot4I8Packed(a.w, b.w);
}
`;

/**
 * Besides, `finish(value, row, output, thread, inside)` stores four outputs of a row as EPILOGUE
 * says; the kernel declares EPILOGUE, OUT and `y: array<u32>`, and all threads of the workgroup call
 * it (see `STORE_QUAD`).
 */
export const FINISH = GELU + STORE_QUAD + DOT_BYTES + `
fn finish(product: vec4<f32>, row: u32, output: u32, thread: u32, inside: bool) {
  if (EPILOGUE == 1u) {
    store_quad(gelu(product), place_of(row, output / 32u, OUT / 32u), thread, inside);
    return;
  }
  if (!inside) {
    return;
  }
  let at = row * OUT + output;
  var value = product;
  if (EPILOGUE == 2u) {
    value += vec4(
      bitcast<f32>(y[at]),
      bitcast<f32>(y[at + 1u]),
      bitcast<f32>(y[at + 2u]),
      bitcast<f32>(y[at + 3u]),
    );
  }
  y[at] = bitcast<u32>(value.x);
  y[at + 1u] = bitcast<u32>(value.y);
  y[at + 2u] = bitcast<u32>(value.z);
  y[at + 3u] = bitcast<u32>(value.w);
}
`;
