// The row's side of a truncation: after each pass of `truncate`, picks the bin in which the
// weights pass the goal, and goes on to the next op of the row's program.
override VOCAB: u32;

const THREADS = 256u;
const BIN_WORDS = 4096u; // 2048 bins of (high 31 bits, low 16 bits)
const TIES = 2048u; // in the last pass of 1024 bins: where the number of tokens in each follows

@group(0) @binding(0) var<storage, read> rows: array<Truncation>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(3) var<storage, read_write> cuts: array<Cut>; // (rows)
@group(0) @binding(4) var<storage, read_write> histogram: array<u32>; // (rows, BIN_WORDS)

var<workgroup> op_of_row: u32;
var<workgroup> ties: vec2<u32>; // how many to drop, and their key
var<workgroup> pairs: array<vec2<u32>, 2u * THREADS>; // running sums

fn weight_of(row: u32, bin: u32) -> vec2<u32> {
  let at = row * BIN_WORDS + 2u * bin;
  return widened(histogram[at], histogram[at + 1u]);
}

// The weight that the tokens below the wanted rank pass first; always less than the total.
fn first_goal(row: Truncation, kind: u32, total: vec2<u32>) -> vec2<u32> {
  let one = vec2(1u, 0u);
  if (kind == TOP_K) {
    return subtract(total, vec2(min(row.top_k, total.x), 0u));
  }
  if (kind == TOP_P) {
    return top_p_goal(total, row.drop);
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
  if (kind == TOP_P) {
    ties = vec2(equals_to_drop(rest, weight, histogram[row * BIN_WORDS + TIES + bin]), prefix);
  }
}

// One workgroup a row.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  let cut = cuts[row];
  if (thread == 0u) {
    op_of_row = op_at(rows[row].program, cut.step);
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
  let total = pairs[THREADS - 1u];
  if (thread == 0u) {
    cuts[row].step = cut.step + 1u;
  }
  if (op == MEAN) {
    // The first half of the bins holds probabilities, the second their products with the octaves.
    let weights = pairs[THREADS / 2u - 1u];
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
    find_equal(row, drop.y, drop.x, thread);
    if (thread == 0u) {
      cuts[row].low_id = equal_id;
    }
  }
  for (var i = thread; i < BIN_WORDS; i += THREADS) {
    histogram[row * BIN_WORDS + i] = 0u;
  }
}
