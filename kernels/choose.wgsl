// Ends a row: names its token, with its log-probabilities, and remembers it for the next step.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 64u; // at least CHUNKS

const GREEDY = 0u; // the best token
const DRAWN = 1u; // the winner of the race
const FORCED = 2u; // the token asked about; nothing is remembered

struct Choice {
  slot: u32,
  mode: u32,
  forced: u32,
  top: u32,
  temperature: f32,
}

struct Top { id: u32, logprob: f32 }

struct Result {
  id: u32,
  invalid: u32, // 1 where the logits were no distribution; the rest means nothing then
  logprob: u32, // bits of f32, of the untouched logits
  processed_logprob: u32, // bits of f32
  scores_log_sum: f32, // log sum exp((score - largest) / temperature) over the tokens kept
  top: array<array<Top, 20>, 2>, // filled by top_tokens
}

@group(0) @binding(0) var<storage, read> rows: array<Choice>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> runners: array<Runner>; // (rows, CHUNKS)
@group(0) @binding(3) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(4) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> results: array<Result>; // (rows)
@group(0) @binding(6) var<storage, read_write> counts: array<u32>; // (slots, VOCAB), prompt << 16 | generated
@group(0) @binding(7) var<storage, read_write> sampled: array<u32>; // (slots)

var<workgroup> shared_runners: array<Runner, THREADS>;

fn logprob(bits: u32, largest: f32, temperature: f32, log_sum: f32) -> u32 {
  if (bits == NEGATIVE_INFINITY) {
    return bits;
  }
  return bitcast<u32>((bitcast<f32>(bits) - largest) / temperature - log_sum);
}

// One workgroup a row.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  let choice = rows[row];
  let summary = summaries[row];
  if (thread < CHUNKS) {
    shared_runners[thread] = runners[row * CHUNKS + thread];
  }
  workgroupBarrier();
  if (thread > 0u) {
    return;
  }
  var id = summary.best;
  var log_sum = summary.log_sum;
  if (choice.mode == DRAWN) {
    var winner = shared_runners[0];
    for (var i = 1u; i < CHUNKS; i++) {
      let next = shared_runners[i];
      let sum = winner.sum + next.sum;
      if (next.speed > winner.speed) {
        winner = next;
      }
      winner.sum = sum;
    }
    id = winner.id;
    log_sum = log(winner.sum);
  } else if (choice.mode == FORCED) {
    id = choice.forced;
  }
  // Logits that are no distribution may have no winner; every index below must hold all the same.
  id = min(id, VOCAB - 1u);
  let at = row * VOCAB + id;
  results[row].id = id;
  results[row].invalid = summary.invalid;
  results[row].scores_log_sum = log_sum;
  results[row].logprob = logprob(logits[at], summary.logits_largest, 1.0, summary.logits_log_sum);
  results[row].processed_logprob = logprob(
    scores[at],
    summary.largest,
    choice.temperature,
    log_sum,
  );
  if (choice.mode != FORCED) {
    sampled[choice.slot] = id;
    counts[choice.slot * VOCAB + id] += 1u;
  }
}
