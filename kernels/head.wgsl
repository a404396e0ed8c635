// logits[r, v] = table[v] . x[r], half-precision table, one slice of the vocabulary a dispatch.
//
//   workgroup (outputs / OUTPUTS, row)     thread = LANES * output + lane
//   lane l reads 16 bytes (8 inputs) at l, l + LANES, ... of its row of the table
override HIDDEN: u32;
override VOCAB: u32; // the stride of logits

const LANES = 16u;
const OUTPUTS = 16u;
const THREADS = LANES * OUTPUTS;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, HIDDEN / 4)
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>; // (count, HIDDEN / 8) octets of f16
@group(0) @binding(2) var<storage, read_write> logits: array<f32>; // (rows, VOCAB)
@group(0) @binding(3) var<uniform> slice: Slice;

override LOADS: u32 = HIDDEN / 8u;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let local = group.x * OUTPUTS + thread / LANES;
  var sum = 0.0;
  if (local < slice.count) {
    for (var load = lane; load < LOADS; load += LANES) {
      let w = table[local * LOADS + load];
      let at = group.y * (HIDDEN / 4u) + load * 2u;
      sum += dot(vec4(unpack2x16float(w.x), unpack2x16float(w.y)), x[at]) +
        dot(vec4(unpack2x16float(w.z), unpack2x16float(w.w)), x[at + 1u]);
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (lane != 0u || local >= slice.count) {
    return;
  }
  for (var i = 1u; i < LANES; i++) {
    sum += partial[thread + i];
  }
  logits[group.y * VOCAB + slice.first + local] = sum;
}
