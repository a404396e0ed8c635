// Ends a row: names its token, with its log-probabilities, and remembers it for the next step.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 64u; // at least CHUNKS

@group(0) @binding(0) var<storage, read> rows: array<Choice>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> runners: array<Runner>; // (rows, CHUNKS)
@group(0) @binding(3) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(4) var<storage, read> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> results: array<Result>; // (rows)
@group(0) @binding(6) var<storage, read_write> counts: array<u32>; // (slots, VOCAB), prompt << 16 | generated
@group(0) @binding(7) var<storage, read_write> sampled: array<u32>; // (slots)

var<workgroup> shared_runners: array<Runner, THREADS>;

// One workgroup a row.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  if (thread < CHUNKS) {
    shared_runners[thread] = runners[row * CHUNKS + thread];
  }
  workgroupBarrier();
  if (thread > 0u) {
    return;
  }
  var winner = shared_runners[0];
  for (var i = 1u; i < CHUNKS; i++) {
    winner = overtake(winner, shared_runners[i]);
  }
  conclude(row, rows[row], summaries[row], winner);
}
