/**
 * The parts of a row put together, as WGSL text that kernels put before their own.
 *
 * Knows the order in which sums are added, which is always the same. It is no kernel and has no
 * bindings; the kernel declares CHUNKS, at most 32, and copies the parts of its row to `row_parts`.
 */
export const ROW_SUMMARY = `
var<workgroup> row_parts: array<Part, 32>;
// Of logits (x, y) and scores (z, w): what the sum so far is multiplied by, what is added to it.
var<workgroup> row_terms: array<vec4<f32>, 32>;

// Prepares the sums of chunk c, one thread a chunk; barriers before and after are the caller's.
fn scale_part(c: u32, temperature: f32) {
  let part = row_parts[c];
  var logits_before = LOWEST;
  var scores_before = LOWEST;
  for (var i = 0u; i < c; i++) {
    logits_before = max(logits_before, row_parts[i].logits.largest);
    scores_before = max(scores_before, row_parts[i].scores.largest);
  }
  let logits = max(logits_before, part.logits.largest);
  let scores = max(scores_before, part.scores.largest);
  row_terms[c] = vec4(
    weight_below(logits_before, logits, 1.0),
    part.logits.sum * weight_below(part.logits.largest, logits, 1.0),
    weight_below(scores_before, scores, temperature),
    part.scores.sum * weight_below(part.scores.largest, scores, temperature),
  );
}

// Adds up what \`scale_part\` left; for one thread.
fn summarised() -> Summary {
  var sum = row_parts[0];
  for (var i = 1u; i < CHUNKS; i++) {
    let next = row_parts[i];
    let terms = row_terms[i];
    if (next.scores.largest > sum.scores.largest) {
      sum.best = next.best;
    }
    sum.logits = Peak(
      max(sum.logits.largest, next.logits.largest),
      sum.logits.sum * terms.x + terms.y,
    );
    sum.scores = Peak(
      max(sum.scores.largest, next.scores.largest),
      sum.scores.sum * terms.z + terms.w,
    );
    sum.invalid |= next.invalid;
  }
  if (sum.invalid != 0u || sum.scores.sum <= 0.0) {
    return Summary(0.0, 0.0, 0.0, 0.0, 0u, 1u);
  }
  return Summary(
    sum.logits.largest,
    log(sum.logits.sum),
    sum.scores.largest,
    log(sum.scores.sum),
    sum.best,
    0u,
  );
}
`;
