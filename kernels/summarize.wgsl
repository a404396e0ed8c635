// Puts the chunks of a row together: the sums of its two softmaxes and its best token.
override CHUNKS: u32;

const THREADS = 64u; // at least CHUNKS

struct Penalties { // as in penalize.wgsl
  slot: u32,
  repetition: f32,
  frequency: f32,
  presence: f32,
  whole_context: u32,
  temperature: f32,
  biased: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<Penalties>; // (rows)
@group(0) @binding(1) var<storage, read> parts: array<Part>; // (rows, CHUNKS)
@group(0) @binding(2) var<storage, read_write> summaries: array<Summary>; // (rows)
@group(0) @binding(3) var<storage, read_write> cuts: array<Cut>; // (rows)

var<workgroup> shared_parts: array<Part, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  if (thread < CHUNKS) {
    shared_parts[thread] = parts[row * CHUNKS + thread];
  }
  workgroupBarrier();
  if (thread > 0u) {
    return;
  }
  // Few chunks, in a fixed order: the sums are the same every time.
  var sum = shared_parts[0];
  for (var i = 1u; i < CHUNKS; i++) {
    let next = shared_parts[i];
    if (next.scores.largest > sum.scores.largest) {
      sum.best = next.best;
    }
    sum.logits = join(sum.logits, next.logits, 1.0);
    sum.scores = join(sum.scores, next.scores, rows[row].temperature);
    sum.invalid |= next.invalid;
  }
  var summary = Summary(0.0, 0.0, 0.0, 0.0, 0u, 1u);
  if (sum.invalid == 0u && sum.scores.sum > 0.0) {
    summary = Summary(
      sum.logits.largest,
      log(sum.logits.sum),
      sum.scores.largest,
      log(sum.scores.sum),
      sum.best,
      0u,
    );
  }
  summaries[row] = summary;
  cuts[row] = Cut();
}
