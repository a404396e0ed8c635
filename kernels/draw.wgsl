// Removes what was truncated and lets the tokens left of each chunk run a race (`race.ts`).
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 256u;

@group(0) @binding(0) var<storage, read> rows: array<Draw>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> cuts: array<Cut>; // (rows)
@group(0) @binding(3) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(4) var<storage, read_write> runners: array<Runner>; // (rows, CHUNKS)

fn racer(row: u32, id: u32) -> Runner {
  let at = row * VOCAB + id;
  let bits = scores[at];
  if (is_removed(bits, id, cuts[row])) {
    scores[at] = NEGATIVE_INFINITY;
    return absent(id);
  }
  return runner(bits, id, summaries[row].largest, rows[row]);
}

// One workgroup a chunk, chunks in x and rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (rows[row].temperature == 0.0) {
    return;
  }
  let winner = winner_of_chunk(row, group.x, thread);
  if (thread == 0u) {
    runners[row * CHUNKS + group.x] = winner;
  }
}
