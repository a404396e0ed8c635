/**
 * Probabilities as whole numbers, as WGSL text that kernels put before their own: sums of them do
 * not depend on the order in which threads add, so the same tokens are kept every time.
 *
 * Knows the table of powers, which the kernel binds as `powers`. It is no kernel; `WIDE_INTEGER`
 * and `SAMPLING_STATE` come before it.
 */

/** 2^(31 - i / 256) for i from 0 to 255, rounded once from double precision. */
export function powersOfTwo(): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: 256 }, (_, i) => Math.round(2 ** (31 - i / 256)));
}

export const PROBABILITY = `
// A float as a multiple of 2^(exponent - 156), where \`exponent\` is no less than its own.
fn fixed_point(bits: u32, exponent: u32) -> i32 {
  let mantissa = ((bits & 0x7fffffu) | 0x800000u) << 6u;
  let value = i32(mantissa >> min(exponent - ((bits >> 23u) & 255u), 31u));
  return select(value, -value, bits >= 0x80000000u);
}

// log2(largest probability / probability), times 2^26: 64 octaves, the last one for all below.
// The difference of the scores keeps 6 bits more than it would as a float. Scores are sort keys.
fn octaves_down(key: u32, largest_key: u32, scale: u32, scale_shift: i32) -> u32 {
  let bits = bits_of(key);
  let largest = bits_of(largest_key);
  let exponent = max((bits >> 23u) & 255u, (largest >> 23u) & 255u);
  let difference = u32(fixed_point(largest, exponent) - fixed_point(bits, exponent));
  let zeros = countLeadingZeros(difference);
  let product = multiply(difference << (zeros & 31u), scale).y;
  let shift = scale_shift + i32(zeros) - i32(exponent);
  if (difference == 0u || shift >= 32) {
    return 0u;
  }
  if (shift > 0) {
    return ((product >> u32(shift - 1)) + 1u) >> 1u;
  }
  if (shift == 0) {
    return product;
  }
  return select(0xffffffffu, product << 1u, shift == -1 && product < 0x80000000u);
}

// 2^-octaves / 2^exponent as a fraction of 47 bits: (31 bits, 16 bits). The exponent is such that
// the fractions of a row add up to at most 1.
fn probability(octaves: u32, exponent: u32) -> vec2<u32> {
  let power = powers[(octaves >> 18u) & 255u];
  let x = f32(octaves & 0x3ffffu) * 1.0328852e-8; // ln 2 / 2^26; at most 0.0028
  let lost = x * (1.0 - x * (0.5 - x * 0.16666667)); // 1 - exp(-x)
  let value = power - multiply(power, u32(lost * 4294967296.0)).y;
  let shift = (octaves >> 26u) + exponent;
  if (shift < 16u) {
    return vec2(value >> shift, (value << (16u - shift)) & 0xffffu);
  }
  let below = select(0u, value >> (shift - 16u), shift < 48u);
  return vec2(below >> 16u, below & 0xffffu);
}

// The exponent of a row, of its log sum exp((score - largest) / temperature).
fn exponent_of(log_sum: f32) -> u32 {
  return u32(log_sum * 1.442695 + 0.01) + 1u;
}
`;
