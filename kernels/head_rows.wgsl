// logits[r, v] = table[v] . x[r] for eight rows at a time, half-precision table, one slice of the
// vocabulary a dispatch: the table is read once for eight rows.
//
//   workgroup (rows / 8, outputs / 32)     thread = LANES * quad of outputs + lane
//   lane l reads 16 bytes (8 inputs) at l, l + LANES, ... of four rows of the table and of eight of x
override HIDDEN: u32;
override VOCAB: u32; // the stride of logits

const LANES = 16u;
const QUADS = 8u;
const THREADS = LANES * QUADS;
const ROWS = 8u;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, HIDDEN / 4)
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>; // (count, HIDDEN / 8) octets of f16
@group(0) @binding(2) var<storage, read_write> logits: array<f32>; // (rows, VOCAB)
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<uniform> rows: vec4<u32>; // y: number of rows that want logits

override LOADS: u32 = HIDDEN / 8u;

var<workgroup> sums: array<vec4<f32>, ROWS * THREADS>;

struct Octet { low: vec4<f32>, high: vec4<f32> }

fn octet(words: vec4<u32>) -> Octet {
  return Octet(
    vec4(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}

fn product(a: Octet, b: Octet, c: Octet, d: Octet, row: u32, load: u32) -> vec4<f32> {
  let at = min(row, rows.y - 1u) * (HIDDEN / 4u) + 2u * load;
  let low = x[at];
  let high = x[at + 1u];
  return vec4(
    dot(a.low, low) + dot(a.high, high),
    dot(b.low, low) + dot(b.high, high),
    dot(c.low, low) + dot(c.high, high),
    dot(d.low, low) + dot(d.high, high),
  );
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * ROWS;
  let first_local = group.y * 4u * QUADS;
  let local = first_local + 4u * (thread / LANES);
  let last = slice.count - 1u; // entries past the last one repeat it and are not stored
  var sum0 = vec4(0.0); // row 0 of the eight, four outputs
  var sum1 = vec4(0.0);
  var sum2 = vec4(0.0);
  var sum3 = vec4(0.0);
  var sum4 = vec4(0.0);
  var sum5 = vec4(0.0);
  var sum6 = vec4(0.0);
  var sum7 = vec4(0.0);
  for (var load = thread % LANES; load < LOADS; load += LANES) {
    let a = octet(table[min(local, last) * LOADS + load]);
    let b = octet(table[min(local + 1u, last) * LOADS + load]);
    let c = octet(table[min(local + 2u, last) * LOADS + load]);
    let d = octet(table[min(local + 3u, last) * LOADS + load]);
    sum0 += product(a, b, c, d, row + 0u, load);
    sum1 += product(a, b, c, d, row + 1u, load);
    sum2 += product(a, b, c, d, row + 2u, load);
    sum3 += product(a, b, c, d, row + 3u, load);
    sum4 += product(a, b, c, d, row + 4u, load);
    sum5 += product(a, b, c, d, row + 5u, load);
    sum6 += product(a, b, c, d, row + 6u, load);
    sum7 += product(a, b, c, d, row + 7u, load);
  }
  sums[thread] = sum0;
  sums[THREADS + thread] = sum1;
  sums[2u * THREADS + thread] = sum2;
  sums[3u * THREADS + thread] = sum3;
  sums[4u * THREADS + thread] = sum4;
  sums[5u * THREADS + thread] = sum5;
  sums[6u * THREADS + thread] = sum6;
  sums[7u * THREADS + thread] = sum7;
  workgroupBarrier();

  // One thread a row and a quad of outputs now.
  let quad = thread % QUADS;
  let mine = row + thread / QUADS;
  let output = first_local + 4u * quad;
  if (thread >= ROWS * QUADS || mine >= rows.y) {
    return;
  }
  let first = (thread / QUADS) * THREADS + quad * LANES;
  var value = vec4(0.0);
  for (var i = 0u; i < LANES; i += 4u) {
    value += (sums[first + i] + sums[first + i + 1u]) + (sums[first + i + 2u] + sums[first + i + 3u]);
  }
  let at = mine * VOCAB + slice.first + output;
  for (var i = 0u; i < 4u && output + i < slice.count; i++) {
    logits[at + i] = value[i];
  }
}
