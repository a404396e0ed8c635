// logits[r, v] = table[v] . x[r] for eight rows at a time, half-precision table, one slice of the
// vocabulary a dispatch: the table is read once for eight rows. head_rows.ts draws who reads what,
// declares X and QUADS, and writes out what the comments of one word stand for.
override HIDDEN: u32;
override VOCAB: u32; // the stride of logits

const ROWS = 8u;
const LANES = 16u;
const GROUPS_OF_LANES = 8u;
const THREADS = LANES * GROUPS_OF_LANES;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<X>; // (rows, HIDDEN)
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>; // (count, HIDDEN / 8) octets of f16
@group(0) @binding(2) var<storage, read_write> logits: array<f32>; // (rows, VOCAB)
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<uniform> rows: vec4<u32>; // y: number of rows that want logits

override LOADS: u32 = HIDDEN / 8u;

var<workgroup> sums: array<vec4<f32>, ROWS * THREADS>;

// One thread a row and a quad of outputs: the lanes' sums become logits.
fn put_together(row: u32, first_local: u32, thread: u32) {
  let quad = thread % GROUPS_OF_LANES;
  let mine = row + thread / GROUPS_OF_LANES;
  if (thread >= ROWS * GROUPS_OF_LANES || mine >= rows.y) {
    return;
  }
  let output = first_local + 4u * quad;
  let first = (thread / GROUPS_OF_LANES) * THREADS + quad * LANES;
  var value = vec4(0.0);
  for (var i = 0u; i < LANES; i += 4u) {
    value += (sums[first + i] + sums[first + i + 1u]) + (sums[first + i + 2u] + sums[first + i + 3u]);
  }
  let at = mine * VOCAB + slice.first + output;
  for (var i = 0u; i < 4u && output + i < slice.count; i++) {
    logits[at + i] = value[i];
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * ROWS;
  let first_local = group.y * (4u * QUADS * GROUPS_OF_LANES);
  let local = first_local + 4u * (thread / LANES);
  let last = slice.count - 1u; // entries past the last one repeat it and are not stored
  //SUMS
  for (var load = thread % LANES; load < LOADS; load += LANES) {
    //PRODUCTS
  }
  //ROUNDS
}
