/**
 * How a row ends, as WGSL text that kernels put before their own: its token's log-probabilities, and
 * what later steps need to know of it.
 *
 * Knows the layout of a result, which `choose.ts` reads. It is no kernel; the kernel that concludes
 * a row binds `logits`, `scores`, `results`, `counts` and `sampled`, and declares VOCAB.
 * `SAMPLING_STATE` and `SAMPLING_ROWS` come before it.
 */
export const RESULT = `
struct Top { id: u32, logprob: f32 }

struct Result {
  id: u32,
  invalid: u32, // 1 where the logits were no distribution; the rest means nothing then
  logprob: u32, // bits of f32, of the untouched logits
  processed_logprob: u32, // bits of f32
  scores_log_sum: f32, // log sum exp((score - largest) / temperature) over the tokens kept
  top: array<array<Top, 20>, 2>, // filled by top_tokens
}
`;

export const OUTCOME = `${RESULT}
fn logprob(bits: u32, largest: f32, temperature: f32, log_sum: f32) -> u32 {
  if (bits == NEGATIVE_INFINITY) {
    return bits;
  }
  return bitcast<u32>((bitcast<f32>(bits) - largest) / temperature - log_sum);
}

// The winner so far against that of the next chunk.
fn overtake(winner: Runner, next: Runner) -> Runner {
  let next_wins = next.speed > winner.speed;
  return Runner(
    select(winner.speed, next.speed, next_wins),
    select(winner.id, next.id, next_wins),
    winner.sum + next.sum,
  );
}

// Ends a row, for one thread; \`winner\` is that of the race where there was one.
fn conclude(row: u32, choice: Choice, summary: Summary, winner: Runner) {
  var id = summary.best;
  var log_sum = summary.log_sum;
  if (choice.mode == DRAWN) {
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
`;
