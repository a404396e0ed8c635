/**
 * The parts of a row put together, as WGSL text that kernels put before their own.
 *
 * Knows the order in which sums are added, which is always the same. It is no kernel and has no
 * bindings; the kernel declares CHUNKS, at most 32, and gives each of 32 threads a part.
 */

/** Chunks looked at together: WGSL's loops are not unrolled. */
const AT_ONCE = Array.from({ length: 8 }, (_, i) => i);

const peaks = AT_ONCE.map((i) => `
    peak = max(peak, select(vec2(LOWEST), row_peaks[i + ${i}u], i + ${i}u < chunk));`).join("");

const terms = AT_ONCE.map((i) => `
    let terms${i} = row_terms[i + ${i}u];`).join("");

const sums = AT_ONCE.map((i) => `
    sums = sums * terms${i}.xz + terms${i}.yw;`).join("");

export const ROW_SUMMARY = `
const MOST_CHUNKS = 32u;

var<workgroup> row_peaks: array<vec2<f32>, MOST_CHUNKS>; // the largest logit and score of a chunk
var<workgroup> row_bests: array<u32, MOST_CHUNKS>; // the best token of a chunk
// Of logits (x, y) and scores (z, w): what the sum so far is multiplied by, what is added to it.
var<workgroup> row_terms: array<vec4<f32>, MOST_CHUNKS>;
var<workgroup> row_summary: Summary; // what \`summarise\` found
var<workgroup> leader: atomic<u32>; // the last chunk whose best token is better than all before it
var<workgroup> invalid_chunks: atomic<u32>;

// What a thread beyond the last chunk has: it changes no sum.
fn no_part() -> Part {
  return Part(Peak(LOWEST, 0.0), Peak(LOWEST, 0.0), 0u, 0u);
}

// For MOST_CHUNKS threads, and a barrier after each of the two; then \`summarise\`.
fn take_part(chunk: u32, part: Part) {
  row_peaks[chunk] = vec2(part.logits.largest, part.scores.largest);
  row_bests[chunk] = part.best;
}

fn scale_part(chunk: u32, part: Part, temperature: f32) {
  var peak = vec2(LOWEST);
  for (var i = 0u; i < chunk; i += 8u) {${peaks}
  }
  let own = vec2(part.logits.largest, part.scores.largest);
  let largest = max(peak, own);
  row_terms[chunk] = vec4(
    weight_below(peak.x, largest.x, 1.0),
    part.logits.sum * weight_below(own.x, largest.x, 1.0),
    weight_below(peak.y, largest.y, temperature),
    part.scores.sum * weight_below(own.y, largest.y, temperature),
  );
  if (own.y > peak.y) {
    atomicMax(&leader, chunk);
  }
  atomicMax(&invalid_chunks, part.invalid);
  if (chunk == CHUNKS - 1u) {
    row_summary.logits_largest = largest.x;
    row_summary.largest = largest.y;
  }
}

// For one thread.
fn summarise() {
  var sums = vec2(0.0);
  for (var i = 0u; i < MOST_CHUNKS; i += 8u) {${terms}${sums}
  }
  row_summary.logits_log_sum = log(sums.x);
  row_summary.log_sum = log(sums.y);
  row_summary.best = row_bests[atomicLoad(&leader)];
  if (atomicLoad(&invalid_chunks) != 0u || sums.y <= 0.0) {
    row_summary = Summary(0.0, 0.0, 0.0, 0.0, 0u, 1u);
  }
}
`;
