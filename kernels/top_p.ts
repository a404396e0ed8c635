/**
 * Where top-p cuts, and which of equal scores it drops, as WGSL text that kernels put before their
 * own.
 *
 * Knows sums of weights, not how a kernel comes by them. It is no kernel and has no bindings;
 * `WIDE_INTEGER` comes before it.
 */
export const TOP_P_CUT = `
// A sum of probabilities, which are fractions of (31 bits, 16 bits), as one wide integer.
fn widened(high: u32, low: u32) -> vec2<u32> {
  return add(vec2(high << 16u, high >> 16u), vec2(low, 0u));
}

fn fraction_of(total: vec2<u32>, fraction: vec2<u32>) -> vec2<u32> {
  let whole = add(multiply(total.y, fraction.x), vec2(multiply(total.x, fraction.x).y, 0u));
  let shift = fraction.y;
  if (shift == 0u) {
    return whole;
  }
  if (shift < 32u) {
    return vec2((whole.x >> shift) | (whole.y << (32u - shift)), whole.y >> shift);
  }
  return vec2(select(0u, whole.y >> (shift - 32u), shift < 64u), 0u);
}

// a * 2^32 / b for a < b < 2^63, by long division.
fn ratio(a: vec2<u32>, b: vec2<u32>) -> u32 {
  var rest = a;
  var quotient = 0u;
  for (var i = 0u; i < 32u; i++) {
    rest = add(rest, rest);
    quotient *= 2u;
    if (!less(rest, b)) {
      rest = subtract(rest, b);
      quotient += 1u;
    }
  }
  return quotient;
}

// The weight that the tokens below the cut must pass; always less than the total.
fn top_p_goal(total: vec2<u32>, drop: vec2<u32>) -> vec2<u32> {
  let goal = fraction_of(total, drop);
  return select(subtract(total, vec2(1u, 0u)), goal, less(goal, total));
}

// Equal scores at the cut are dropped one by one, low ids first, as long as the goal is not passed:
// how many of those that weigh \`weight\` together, where \`rest\` of the goal is left.
fn equals_to_drop(rest: vec2<u32>, weight: vec2<u32>, equals: u32) -> u32 {
  if (equals < 2u) {
    return 0u;
  }
  let share = ratio(rest, weight);
  return min(multiply(max(share, share + 1u), equals).y, equals - 1u);
}
`;
