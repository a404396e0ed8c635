/**
 * What each row asks of the sampling kernels, as WGSL text that each puts before its own.
 *
 * Knows layouts; the kernel that a layout is named for writes it (`writePenalties` and so on). It is
 * no kernel and has no bindings.
 */
export const SAMPLING_ROWS = `
struct Penalties {
  slot: u32,
  repetition: f32,
  frequency: f32, // already over the length where the whole context is counted
  presence: f32,
  whole_context: u32,
  temperature: f32,
  biased: u32, // 1 where the slot's biases are this row's
  wanted: u32, // candidates of each chunk, 0 where none are asked for
}

// An op is kind * 4 + digit for the passes of a select; END, MEAN, FLOOR and APPLY stand alone.
const END = 0u;
const MEAN = 1u; // sums what the mean surprise follows from
const FLOOR = 2u; // min-p
const TOP_K = 1u;
const TOP_P = 2u;
const TYPICAL = 3u;
const APPLY = 15u; // removes what typical-p found

// Fractions are (first 32 bits, places they are shifted down by).
struct Truncation {
  program: array<u32, 2>, // ops of 4 bits, first in the lowest
  drop: vec2<u32>, // top-p: the fraction to drop
  rest: vec2<u32>, // typical-p: the fraction not to keep
  top_k: u32,
  reach: f32, // min-p: how far below the largest a score may lie
  scale: u32, // log2(e) / temperature: its first 32 bits,
  scale_shift: i32, // and 129 - their exponent
}

fn op_at(program: array<u32, 2>, step: u32) -> u32 {
  return (select(program[0], program[1], step >= 8u) >> (4u * (step % 8u))) & 15u;
}

struct Draw {
  seed: vec2<u32>, // low, high
  index: u32, // place in the answer
  temperature: f32, // 0: nothing is drawn
}

const GREEDY = 0u; // the best token
const DRAWN = 1u; // the winner of the race
const FORCED = 2u; // the token asked about; nothing is remembered

struct Choice {
  slot: u32,
  mode: u32,
  forced: u32,
  top: u32, // length of the lists of best tokens
  temperature: f32,
}
`;
