// The most probable tokens of a row, best first: by the untouched logits, and by the scores.
//
// Each thread knows the best token of a share of the vocabulary. The best of those comes next in
// the list, and only its share is searched again, one token a thread.
override VOCAB: u32; // at most THREADS * THREADS

const THREADS = 256u;
const MOST = 20u;
const NONE = 0xffffffffu;

@group(0) @binding(0) var<storage, read> rows: array<Choice>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(3) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(4) var<storage, read_write> results: array<Result>; // (rows)

var<workgroup> candidates: array<vec2<u32>, THREADS>;

fn value_bits(id: u32, row: u32, processed: bool) -> u32 {
  let at = row * VOCAB + id;
  if (processed) {
    return scores[at];
  }
  return logits[at];
}

// A candidate is (sort key, id); nothing is (0, NONE).
fn candidate(id: u32, row: u32, processed: bool) -> vec2<u32> {
  if (id >= VOCAB) {
    return vec2(0u, NONE);
  }
  let bits = value_bits(id, row, processed);
  return select(vec2(sort_key(bits), id), vec2(0u, NONE), bits == NEGATIVE_INFINITY);
}

fn is_better(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y < b.y);
}

fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return select(b, a, is_better(a, b));
}

// The best of all threads' candidates, for all threads.
fn best_of_all(own: vec2<u32>, thread: u32) -> vec2<u32> {
  candidates[thread] = own;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      candidates[thread] = better(candidates[thread], candidates[thread + half]);
    }
  }
  let best = workgroupUniformLoad(&candidates[0]);
  return best;
}

// One workgroup a list: logits and scores in x, rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let processed = group.x == 1u;
  let choice = rows[row];
  let summary = summaries[row];
  var own = vec2(0u, NONE);
  for (var id = thread; choice.top > 0u && id < VOCAB; id += THREADS) {
    own = better(own, candidate(id, row, processed));
  }
  for (var n = 0u; n < min(choice.top, MOST); n++) {
    let best = best_of_all(own, thread);
    if (thread == 0u) {
      var logprob = 0.0;
      if (best.y != NONE) {
        let value = bitcast<f32>(value_bits(best.y, row, processed));
        if (processed) {
          logprob = (value - summary.largest) / choice.temperature - results[row].scores_log_sum;
        } else {
          logprob = value - summary.logits_largest - summary.logits_log_sum;
        }
      }
      results[row].top[group.x][n] = Top(best.y, logprob);
    }
    // The next of its share: ranked below it, and best of those.
    let next = candidate(best.y % THREADS + thread * THREADS, row, processed);
    let rest = best_of_all(select(vec2(0u, NONE), next, is_better(best, next)), thread);
    if (thread == best.y % THREADS) {
      own = rest;
    }
  }
}
