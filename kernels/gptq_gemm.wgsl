// Y = epilogue(X W^T + bias) for many rows, eight at a time: the weights are streamed once for eight
// rows, LANES threads for every four outputs, all in integer products of four bytes (activation.ts).
//
//   workgroup (outputs / 32, rows / 8)     thread = LANES * quad of outputs + lane
//   lane l reads chunks l, l + LANES, ... : 32 inputs of four rows of W and of eight rows of x
//
// A slice begins at a multiple of 32 outputs when they leave in chunks (gelu), and holds a multiple
// of 4. The texts of dot_bytes and finish are in gptq_finish.ts.
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store f32, 1: store gelu as chunks, 2: add to f32

const LANES = 16u;
const QUADS = 8u; // of outputs: together one chunk
const THREADS = QUADS * LANES;
const ROWS = 8u;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>; // (rows, IN / 32) chunks
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>; // (count, IN * BITS / 128)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (OUT / 4)
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // (rows, OUT) f32, or chunks
@group(0) @binding(5) var<uniform> slice: Slice;
@group(0) @binding(6) var<uniform> rows: vec4<u32>; // x: number of rows

override CHUNKS: u32 = IN / 32u;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> sums: array<vec4<f32>, ROWS * THREADS>;

// A chunk of one output's weights: bytes for the even and the odd quads of inputs.
struct Weights { even: vec4<u32>, odd: vec4<u32>, scale: f32, zero: i32 }

fn weights_at(local: u32, chunk: u32) -> Weights {
  let scale_zero = unpack2x16float(
    groups[(slice.first + local) * GROUPS + chunk * 32u / GROUP_SIZE],
  );
  let zero = i32(scale_zero.y);
  if (BITS == 4u) {
    let words = weight[local * CHUNKS + chunk];
    let mask = vec4(0x0f0f0f0fu);
    return Weights(words & mask, (words >> vec4(4u)) & mask, scale_zero.x, zero);
  }
  let first = weight[(local * CHUNKS + chunk) * 2u];
  let second = weight[(local * CHUNKS + chunk) * 2u + 1u];
  return Weights(
    vec4(first.xz, second.xz),
    vec4(first.yw, second.yw),
    scale_zero.x,
    zero,
  );
}

// The numbers of one chunk of x: whole = 128 high + low, even and odd quads apart.
struct Inputs {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  scale: f32,
  sum: i32,
}

fn inputs_at(row: u32, chunk: u32) -> Inputs {
  let at = (min(row, rows.x - 1u) * CHUNKS + chunk) * 5u;
  let last = x[at + 4u];
  return Inputs(
    x[at],
    x[at + 1u],
    x[at + 2u],
    x[at + 3u],
    bitcast<f32>(last.x),
    bitcast<i32>(last.y),
  );
}

fn product(w: Weights, i: Inputs) -> f32 {
  let high = dot_bytes(w.even, i.even_high) + dot_bytes(w.odd, i.odd_high);
  let low = dot_bytes(w.even, i.even_low) + dot_bytes(w.odd, i.odd_low);
  return w.scale * f32(128 * high + low - w.zero * i.sum);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let row = group.y * ROWS;
  let first_local = group.x * 4u * QUADS;
  let local = first_local + 4u * (thread / LANES);
  var sum0 = vec4(0.0); // row 0 of the eight, four outputs
  var sum1 = vec4(0.0);
  var sum2 = vec4(0.0);
  var sum3 = vec4(0.0);
  var sum4 = vec4(0.0);
  var sum5 = vec4(0.0);
  var sum6 = vec4(0.0);
  var sum7 = vec4(0.0);
  if (local < slice.count) {
    for (var chunk = lane; chunk < CHUNKS; chunk += LANES) {
      let a = weights_at(local, chunk);
      let b = weights_at(local + 1u, chunk);
      let c = weights_at(local + 2u, chunk);
      let d = weights_at(local + 3u, chunk);
      let i0 = inputs_at(row, chunk);
      sum0 += i0.scale * vec4(product(a, i0), product(b, i0), product(c, i0), product(d, i0));
      let i1 = inputs_at(row + 1u, chunk);
      sum1 += i1.scale * vec4(product(a, i1), product(b, i1), product(c, i1), product(d, i1));
      let i2 = inputs_at(row + 2u, chunk);
      sum2 += i2.scale * vec4(product(a, i2), product(b, i2), product(c, i2), product(d, i2));
      let i3 = inputs_at(row + 3u, chunk);
      sum3 += i3.scale * vec4(product(a, i3), product(b, i3), product(c, i3), product(d, i3));
      let i4 = inputs_at(row + 4u, chunk);
      sum4 += i4.scale * vec4(product(a, i4), product(b, i4), product(c, i4), product(d, i4));
      let i5 = inputs_at(row + 5u, chunk);
      sum5 += i5.scale * vec4(product(a, i5), product(b, i5), product(c, i5), product(d, i5));
      let i6 = inputs_at(row + 6u, chunk);
      sum6 += i6.scale * vec4(product(a, i6), product(b, i6), product(c, i6), product(d, i6));
      let i7 = inputs_at(row + 7u, chunk);
      sum7 += i7.scale * vec4(product(a, i7), product(b, i7), product(c, i7), product(d, i7));
    }
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
  let inside = thread < ROWS * QUADS && mine < rows.x && output < slice.count;
  var value = vec4(0.0);
  if (inside) {
    let first = (thread / QUADS) * THREADS + quad * LANES;
    for (var i = 0u; i < LANES; i += 4u) {
      value += (sums[first + i] + sums[first + i + 1u]) + (sums[first + i + 2u] + sums[first + i + 3u]);
    }
    value += bias[(slice.first + output) / 4u];
  }
  let at = mine * OUT + slice.first + output;
  finish(value, at, thread, inside);
}
