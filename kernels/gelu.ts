/**
 * Exact GELU, as WGSL text that matrix kernels put before their own.
 *
 * Knows the function; it is no kernel and has no bindings.
 */

/**
 * `gelu(v) = v (1 + erf(v / sqrt 2)) / 2`, with erf to 1.2e-7 everywhere: the Chebyshev fit of erfc
 * published in Numerical Recipes, section 6.2.
 */
export const GELU = `
fn erf(v: vec4<f32>) -> vec4<f32> {
  let z = abs(v);
  let t = 1.0 / (1.0 + 0.5 * z);
  let p = t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t *
    (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  let tail = t * exp(-z * z - 1.26551223 + p);
  return select(tail - 1.0, 1.0 - tail, v >= vec4(0.0));
}

fn gelu(v: vec4<f32>) -> vec4<f32> {
  return 0.5 * v * (1.0 + erf(v * 0.70710678));
}
`;
