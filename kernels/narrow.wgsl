// The row's side of a truncation: after each pass of `truncate`, picks the bin in which the
// weights pass the goal, and goes on to the next op of the row's program.
override VOCAB: u32;

const THREADS = 256u;
const BIN_WORDS = 4096u; // 2048 bins of (high 31 bits, low 16 bits)
const TIES = 2048u; // in the last pass of 1024 bins: where the number of tokens in each follows

const END = 0u;
const MEAN = 1u;
const FLOOR = 2u;
const TOP_K = 1u; // op / 4, the kind of a select; op % 4 is the digit
const TOP_P = 2u;
const TYPICAL = 3u;
const APPLY = 15u;

// Fractions are (first 32 bits, places they are shifted down by).
struct Truncation {
  program: array<u32, 2>, // ops of 4 bits, first in the lowest
  drop: vec2<u32>, // top-p: the fraction to drop
  rest: vec2<u32>, // typical-p: the fraction not to keep
  top_k: u32,
  reach: f32, // min-p: how far below the largest a score may lie
  scale: u32,
  scale_shift: i32,
}

@group(0) @binding(0) var<storage, read> rows: array<Truncation>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(3) var<storage, read_write> cuts: array<Cut>; // (rows)
@group(0) @binding(4) var<storage, read_write> histogram: array<u32>; // (rows, BIN_WORDS)

var<workgroup> op_of_row: u32;
var<workgroup> ties: vec2<u32>; // how many to drop, and their key
var<workgroup> sums: array<vec2<u32>, THREADS>;

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

fn weight_of(row: u32, bin: u32) -> vec2<u32> {
  let at = row * BIN_WORDS + 2u * bin;
  let high = histogram[at];
  return add(vec2(high << 16u, high >> 16u), vec2(histogram[at + 1u], 0u));
}

// The sum of this thread's value and those of the threads before it; leaves all sums in `sums`.
fn running_sum(thread: u32, value: vec2<u32>) -> vec2<u32> {
  var sum = value;
  for (var step = 1u; step < THREADS; step *= 2u) {
    workgroupBarrier();
    sums[thread] = sum;
    workgroupBarrier();
    if (thread >= step) {
      sum = add(sum, sums[thread - step]);
    }
  }
  workgroupBarrier();
  sums[thread] = sum;
  workgroupBarrier();
  return sum;
}

// The weight that the tokens below the wanted rank pass first; always less than the total.
fn first_goal(row: Truncation, kind: u32, total: vec2<u32>) -> vec2<u32> {
  let one = vec2(1u, 0u);
  if (kind == TOP_K) {
    return subtract(total, vec2(min(row.top_k, total.x), 0u));
  }
  if (kind == TOP_P) {
    let drop = fraction_of(total, row.drop);
    return select(subtract(total, one), drop, less(drop, total));
  }
  // Reaching the mass is enough, passing is not asked for.
  let rest = add(fraction_of(total, row.rest), one);
  return select(vec2(0u), subtract(total, rest), less(rest, total));
}

// Goes down into the bin of this thread's bins in which the goal is passed.
fn pick(row: u32, kind: u32, digit: u32, first_bin: u32, goal: vec2<u32>) {
  var rest = goal;
  var bin = first_bin;
  var weight = weight_of(row, bin);
  for (var i = 1u; i < 8u && !less(rest, weight); i++) {
    rest = subtract(rest, weight);
    bin += 1u;
    weight = weight_of(row, bin);
  }
  let prefix = (cuts[row].prefix << select(11u, 10u, digit == 2u)) | bin;
  cuts[row].goal = rest;
  cuts[row].prefix = prefix;
  if (digit < 2u) {
    return;
  }
  cuts[row].prefix = 0u;
  if (kind == TYPICAL) {
    cuts[row].limit = prefix;
    return;
  }
  cuts[row].low = prefix;
  let equals = histogram[row * BIN_WORDS + TIES + bin];
  if (kind == TOP_P && equals > 1u) {
    // Equal scores are dropped one by one, low ids first, as long as the goal is not passed.
    let share = ratio(rest, weight);
    ties = vec2(min(multiply(max(share, share + 1u), equals).y, equals - 1u), prefix);
  }
}

// Finds the first id to keep of those with this key.
fn drop_ties(row: u32, drop: u32, key: u32, thread: u32) {
  let span = (VOCAB + THREADS - 1u) / THREADS;
  let first = thread * span;
  let end = min(first + span, VOCAB);
  var own = 0u;
  for (var id = first; id < end; id++) {
    own += select(0u, 1u, sort_key(scores[row * VOCAB + id]) == key);
  }
  let sum = running_sum(thread, vec2(own, 0u)).x;
  if (sum <= drop || sum - own > drop) {
    return;
  }
  var before = sum - own;
  for (var id = first; id < end; id++) {
    if (sort_key(scores[row * VOCAB + id]) == key) {
      if (before == drop) {
        cuts[row].low_id = id;
      }
      before += 1u;
    }
  }
}

// One workgroup a row.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  let cut = cuts[row];
  if (thread == 0u) {
    op_of_row = (rows[row].program[cut.step / 8u] >> (4u * (cut.step % 8u))) & 15u;
  }
  let op = workgroupUniformLoad(&op_of_row);
  if (op == END) {
    return;
  }
  let kind = op / 4u;
  let digit = op % 4u;
  let bins = select(8u, 4u, kind > 0u && digit == 2u);
  var own = vec2(0u);
  for (var i = 0u; i < bins; i++) {
    own = add(own, weight_of(row, thread * bins + i));
  }
  let sum = running_sum(thread, own);
  let total = sums[THREADS - 1u];
  if (thread == 0u) {
    cuts[row].step = cut.step + 1u;
  }
  if (op == MEAN) {
    // The first half of the bins holds probabilities, the second their products with the octaves.
    let weights = sums[THREADS / 2u - 1u];
    if (thread == 0u) {
      cuts[row].mean = ratio(subtract(total, weights), weights);
    }
  } else if (op == FLOOR) {
    let floor_key = sort_key(bitcast<u32>(summaries[row].largest - rows[row].reach));
    if (thread == 0u && floor_key > cut.low) {
      cuts[row].low = floor_key;
      cuts[row].low_id = 0u;
    }
  } else if (op != APPLY) {
    var goal = cut.goal;
    if (digit == 0u) {
      goal = first_goal(rows[row], kind, total);
    }
    let before = subtract(sum, own);
    if (!less(goal, before) && less(goal, sum)) {
      pick(row, kind, digit, thread * bins, subtract(goal, before));
    }
  }
  let drop = workgroupUniformLoad(&ties);
  if (drop.x > 0u) {
    drop_ties(row, drop.x, drop.y, thread);
  }
  for (var i = thread; i < BIN_WORDS; i += THREADS) {
    histogram[row * BIN_WORDS + i] = 0u;
  }
}
