// Ends a row from the candidates that `penalize` left: the best `top_k + 1` tokens of each chunk, so
// the row's best are among them. One workgroup runs the row's whole program, draws, and concludes.
//
// Where the first token that top-k removes has the score of the last one that it keeps, equals of it
// lie outside the list, and all of them are kept: then, and as far as they matter, the workgroup
// walks the whole row. That is slow, exact and rare.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 256u;
const FIRST_RACER = 64u; // threads from here on let candidates run, while those before add up

@group(0) @binding(0) var<storage, read> truncations: array<Truncation>; // (rows)
@group(0) @binding(1) var<storage, read> draws: array<Draw>; // (rows)
@group(0) @binding(2) var<storage, read> choices: array<Choice>; // (rows)
@group(0) @binding(3) var<storage, read> parts: array<Part>; // (rows, CHUNKS)
@group(0) @binding(4) var<storage, read> candidates: array<vec2<u32>>; // (rows, MOST_WANTED, CHUNKS)
@group(0) @binding(5) var<storage, read> powers: array<u32, 256>; // 2^(31 - i / 256)
@group(0) @binding(6) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(7) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(8) var<storage, read_write> cuts: array<Cut>; // (rows)
@group(0) @binding(9) var<storage, read_write> results: array<Result>; // (rows)
@group(0) @binding(10) var<storage, read_write> counts: array<u32>; // (slots, VOCAB), prompt << 16 | generated
@group(0) @binding(11) var<storage, read_write> sampled: array<u32>; // (slots)

var<workgroup> pairs: array<vec2<u32>, FINALISTS>; // (sort key, id), then running sums
var<workgroup> best: array<vec2<u32>, MOST_WANTED>; // (sort key, id), best first
var<workgroup> cut: Cut;
var<workgroup> equals: atomic<u32>; // of the last token kept by top-k, it included
var<workgroup> ties: vec2<u32>; // how many to drop of those outside the list, and their key
var<workgroup> is_tied: u32; // 1: the last token kept by top-k has equals outside the list
var<workgroup> is_walked: u32; // 1: some of those are still kept

fn candidate(row: u32, slot: u32, wanted: u32) -> vec2<u32> {
  if (slot >= wanted * CHUNKS) {
    return vec2(0u);
  }
  return candidates[row * MOST_WANTED * CHUNKS + slot];
}

// Equals of the last of the list that are not in it.
fn equals_outside(row: u32, length: u32, thread: u32) -> u32 {
  let key = best[length - 1u].x;
  atomicAdd(&equals, equals_in_span(row, key, thread));
  var inside = 1u;
  while (inside < length && best[length - 1u - inside].x == key) {
    inside += 1u;
  }
  workgroupBarrier();
  return atomicLoad(&equals) - inside;
}

// Top-p over the list, worst first; `outside` more tokens weigh as much as the worst.
fn cut_top_p(row: u32, length: u32, outside: u32, thread: u32) {
  let row_scale = truncations[row].scale;
  let lowest = best[length - 1u].x;
  let rank = length - 1u - thread;
  var own = vec2(0u);
  if (thread < length) {
    let largest = sort_key(bitcast<u32>(row_summary.largest));
    let octaves = octaves_down(best[rank].x, largest, row_scale, truncations[row].scale_shift);
    let weight = probability(octaves, exponent_of(row_summary.log_sum));
    own = widened(weight.x, weight.y);
    if (thread == 0u) {
      own = add(own, vec2(own.x * outside, multiply(own.x, outside).y + own.y * outside));
    }
  }
  let sum = running_sum(thread, own);
  let goal = top_p_goal(pairs[THREADS - 1u], truncations[row].drop);
  if (thread >= length || less(goal, subtract(sum, own)) || !less(goal, sum)) {
    return;
  }
  // One thread's token passes the goal: it and its equals are those of which some may be dropped.
  let key = best[rank].x;
  var first = rank;
  while (first > 0u && best[first - 1u].x == key) {
    first -= 1u;
  }
  var end = rank + 1u;
  while (end < length && best[end].x == key) {
    end += 1u;
  }
  var below = vec2(0u);
  if (end < length) {
    below = pairs[length - 1u - end];
  }
  let weight = subtract(pairs[length - 1u - first], below);
  let others = select(0u, outside, key == lowest);
  let drop = equals_to_drop(subtract(goal, below), weight, end - first + others);
  cut.low = key;
  if (others > 0u) {
    ties = vec2(drop, key);
  } else if (drop > 0u) {
    cut.low_id = best[first + drop].y;
  }
}

fn cut_min_p(reach: f32) {
  let floor_key = sort_key(bitcast<u32>(row_summary.largest - reach));
  if (floor_key > cut.low) {
    cut.low = floor_key;
    cut.low_id = 0u;
  }
}

fn racer(row: u32, id: u32) -> Runner {
  let bits = scores[row * VOCAB + id];
  if (is_removed(bits, id, cut)) {
    return absent(id);
  }
  return runner(bits, id, row_summary.largest, draws[row]);
}

// The race of the whole row, as `draw` and `choose` hold it; for thread 0.
fn winner_of_row(row: u32, thread: u32) -> Runner {
  var winner = absent(0u);
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    let next = winner_of_chunk(row, chunk, thread);
    winner = overtake(winner, next);
    workgroupBarrier();
  }
  return winner;
}

// Leaves the row's best tokens in `best` and its summary in `row_summary`; how many there are of the
// wanted ones, and more. The first threads look for the best, others put the row's parts together.
fn take_best(row: u32, wanted: u32, temperature: f32, thread: u32) -> u32 {
  let chunk = thread - GROUPS;
  let is_summing = thread >= GROUPS && chunk < MOST_CHUNKS;
  var part = no_part();
  if (is_summing && chunk < CHUNKS) {
    part = parts[row * CHUNKS + chunk];
  }
  //LOADS
  if (is_summing) {
    take_part(chunk, part);
  }
  gather_groups(/*KEYS*/, thread);
  if (is_summing) {
    scale_part(chunk, part, temperature);
  } else if (thread < GROUPS) {
    rank_groups(wanted, thread);
  }
  let least = workgroupUniformLoad(&threshold);
  //ABOVE
  workgroupBarrier();
  //EQUAL
  workgroupBarrier();
  if (thread == GROUPS) {
    summarise();
  }
  let count = finalist_count();
  for (var i = thread; i < count; i += THREADS) {
    let rank = rank_of(pairs[i], count);
    if (rank < wanted) {
      best[rank] = pairs[i];
    }
  }
  workgroupBarrier();
  return count;
}

// Truncates and draws; `count` tokens at least are left of the row. For thread 0.
fn drawn(row: u32, top_k: u32, count: u32, thread: u32) -> Runner {
  let length = min(count, top_k);
  if (thread == 0u && length > 0u) {
    cut.low = best[length - 1u].x;
    is_tied = select(0u, 1u, count > length && best[length].x == cut.low);
  }
  let tied = workgroupUniformLoad(&is_tied);
  var outside = 0u;
  if (tied == 1u) {
    outside = equals_outside(row, length, thread);
  }

  let entry = thread - FIRST_RACER;
  let is_racing = thread >= FIRST_RACER && entry < length;
  var own_key = 0u;
  var own = absent(0u);
  var place = 0xffffffffu;
  if (is_racing) {
    own_key = best[entry].x;
    own = runner(bits_of(own_key), best[entry].y, row_summary.largest, draws[row]);
    place = place_of(own.id);
  }
  if (thread >= FIRST_RACER && entry < RACERS) {
    places[entry] = place;
  }
  let program = truncations[row].program;
  var step = 3u; // top-k is behind us
  if (op_at(program, step) == 4u * TOP_P) {
    cut_top_p(row, length, outside, thread);
    step += 3u;
  }
  let drop = workgroupUniformLoad(&ties);
  if (drop.x > 0u) {
    find_equal(row, drop.y, drop.x, thread);
  }
  if (thread == 0u) {
    if (drop.x > 0u) {
      cut.low_id = equal_id;
    }
    if (op_at(program, step) == FLOOR) {
      cut_min_p(truncations[row].reach);
    }
    is_walked = select(0u, 1u, tied == 1u && cut.low == best[length - 1u].x);
  }
  let before = racers_before(place, length);
  let walked = workgroupUniformLoad(&is_walked);
  if (walked == 1u) {
    return winner_of_row(row, thread);
  }
  if (is_racing) {
    if (own_key < cut.low || (own_key == cut.low && own.id < cut.low_id)) {
      own = absent(own.id);
    }
    runners_of_chunk[before] = own;
    places[before] = place;
  }
  return winner_of_list(length, thread);
}

// One workgroup a row.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  let choice = choices[row];
  let is_drawn = choice.mode == DRAWN;
  let top_k = min(truncations[row].top_k, MOST_WANTED - 1u);
  let wanted = select(0u, top_k + 1u, is_drawn); // as penalize was told
  let count = take_best(row, wanted, choice.temperature, thread);
  var winner = absent(0u);
  if (is_drawn) {
    winner = drawn(row, top_k, count, thread);
  }
  if (thread == 0u) {
    cuts[row] = cut;
    conclude(row, choice, row_summary, winner);
  }
}
