// Puts the chunks of a row together: the sums of its two softmaxes and its best token.
override CHUNKS: u32;


@group(0) @binding(0) var<storage, read> rows: array<Penalties>; // (rows)
@group(0) @binding(1) var<storage, read> parts: array<Part>; // (rows, CHUNKS)
@group(0) @binding(2) var<storage, read_write> summaries: array<Summary>; // (rows)
@group(0) @binding(3) var<storage, read_write> cuts: array<Cut>; // (rows)

@compute @workgroup_size(MOST_CHUNKS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  var part = no_part();
  if (thread < CHUNKS) {
    part = parts[row * CHUNKS + thread];
  }
  take_part(thread, part);
  workgroupBarrier();
  scale_part(thread, part, rows[row].temperature);
  workgroupBarrier();
  if (thread == 0u) {
    summarise();
    summaries[row] = row_summary;
    cuts[row] = Cut();
  }
}
