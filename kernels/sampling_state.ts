/**
 * What the sampling kernels tell each other of a row, as WGSL text that each puts before its own.
 *
 * Knows layouts and how a row is shared out; it is no kernel and has no bindings.
 */

/** Largest vocabulary: counts and 16-bit sums of the truncation stay within 32 bits up to here. */
export const MAX_VOCAB = 65536;

const TOKENS_PER_CHUNK = 2048;

/** Workgroups that share a row in the kernels that look at every token; at most 32. */
export function chunksOf(vocab: number): number {
  return Math.ceil(vocab / TOKENS_PER_CHUNK);
}

/** Bytes of the entries below, by the buffer that holds them. */
export const STATE_BYTES = { part: 24, summary: 24, cut: 32, runner: 12 } as const;

export const SAMPLING_STATE = `
const LOWEST = -3.4028234e38;
const NEGATIVE_INFINITY = 0xff800000u; // bits of the score of a token that was removed
const TOKENS_PER_CHUNK = ${TOKENS_PER_CHUNK}u;

// The largest of some numbers, and the sum of exp((number - largest) / temperature) over them.
struct Peak { largest: f32, sum: f32 }

// Of a chunk of a row.
struct Part {
  logits: Peak, // at temperature 1
  scores: Peak,
  best: u32, // the lowest id of the largest score
  invalid: u32, // 1 where a NaN or +infinity was seen
}

// Of a row, before truncation.
struct Summary {
  logits_largest: f32,
  logits_log_sum: f32, // log sum exp(logit - largest)
  largest: f32,
  log_sum: f32, // log sum exp((score - largest) / temperature)
  best: u32, // the lowest id of the largest score
  invalid: u32, // 1 where the logits are no distribution
}

// How far the truncation of a row has got; all zeros where nothing is removed yet.
struct Cut {
  goal: vec2<u32>, // what the weights below the rank must pass
  step: u32, // place in the row's program
  prefix: u32, // the leading bits of the rank
  low: u32, // scores of keys below this one are removed,
  low_id: u32, // and at this key the ids below this one
  mean: u32, // mean octaves below the largest probability
  limit: u32, // the largest rank that typical-p keeps
}

// The winner of a chunk's race.
struct Runner {
  speed: f32, // log(p / E), but for a constant of the row
  id: u32,
  sum: f32, // of exp((score - largest) / temperature) over the tokens kept
}

// Where nothing was seen the difference overflows: the bound keeps infinities out of exp.
fn weight_below(value: f32, largest: f32, temperature: f32) -> f32 {
  return exp(max((value - largest) / temperature, -100.0));
}

fn join(a: Peak, b: Peak, temperature: f32) -> Peak {
  let largest = max(a.largest, b.largest);
  let a_scale = weight_below(a.largest, largest, temperature);
  let b_scale = weight_below(b.largest, largest, temperature);
  return Peak(largest, a.sum * a_scale + b.sum * b_scale);
}

// Whole numbers in the order of the floats whose bits these are; both zeros are one.
fn sort_key(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The bits that have this key; of the zeros the positive one.
fn bits_of(key: u32) -> u32 {
  return select(~key, key & 0x7fffffffu, key >= 0x80000000u);
}

fn is_removed(bits: u32, id: u32, cut: Cut) -> bool {
  let key = sort_key(bits);
  return bits == NEGATIVE_INFINITY || key < cut.low || (key == cut.low && id < cut.low_id);
}
`;
