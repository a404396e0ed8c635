// y[r] = epilogue(W x[r] + bias) for few rows: the weights are streamed, LANES threads for every
// four outputs; x comes in chunks of two-byte numbers (activation.ts), so that four weights meet
// four inputs in one integer instruction.
//
//   workgroup (outputs / (4 THREADS / LANES), row)     thread = LANES * quad of outputs + lane
//   lane l reads chunks l, l + LANES, ... : 32 inputs of x and of four rows of W
//
// With gelu the outputs leave in chunks as well, so THREADS / LANES is 8 then: a workgroup's outputs
// are one chunk. The texts of dot_bytes and finish are in gptq_finish.ts.
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store f32, 1: store gelu as chunks, 2: add to f32
override NUMBERS: u32; // of a number of x, and of y as chunks
override THREADS: u32;
override LANES: u32;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>; // (rows, IN / 32) chunks
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>; // (count, IN * BITS / 128)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (OUT / 4)
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // (rows, OUT) f32, or chunks
@group(0) @binding(5) var<uniform> slice: Slice;

override CHUNKS: u32 = IN / 32u;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> sums: array<vec4<f32>, THREADS>;

struct Inputs {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  sum: i32,
}

// A chunk of one output's weights: bytes for the even and the odd quads of inputs.
struct Weights { even: vec4<u32>, odd: vec4<u32> }

fn weights_at(local: u32, chunk: u32) -> Weights {
  if (BITS == 4u) {
    let words = weight[local * CHUNKS + chunk];
    return Weights(words, words);
  }
  let first = weight[(local * CHUNKS + chunk) * 2u];
  let second = weight[(local * CHUNKS + chunk) * 2u + 1u];
  return Weights(vec4(first.xz, second.xz), vec4(first.yw, second.yw));
}

fn scale_zero_at(local: u32, chunk: u32) -> u32 {
  return groups[(slice.first + local) * GROUPS + chunk * 32u / GROUP_SIZE];
}

// One chunk of one output's weights times a chunk of x, but for the scale of x.
fn product(w: Weights, group: u32, i: Inputs) -> f32 {
  var even = w.even;
  var odd = w.odd;
  if (BITS == 4u) {
    even &= vec4(0x0f0f0f0fu);
    odd = (odd >> vec4(4u)) & vec4(0x0f0f0f0fu);
  }
  var whole = dot_bytes(even, i.even_high) + dot_bytes(odd, i.odd_high);
  if (NUMBERS == INT16) {
    whole = 128 * whole + dot_bytes(even, i.even_low) + dot_bytes(odd, i.odd_low);
  }
  let scale_zero = unpack2x16float(group);
  return scale_zero.x * f32(whole - i32(scale_zero.y) * i.sum);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let row = group.y;
  let first_local = group.x * (4u * THREADS / LANES);
  let local = first_local + 4u * (thread / LANES);
  var sum = vec4(0.0);
  if (local < slice.count) {
    for (var chunk = lane; chunk < CHUNKS; chunk += LANES) {
      // All loads first: they are what takes time.
      let w0 = weights_at(local, chunk);
      let w1 = weights_at(local + 1u, chunk);
      let w2 = weights_at(local + 2u, chunk);
      let w3 = weights_at(local + 3u, chunk);
      let g0 = scale_zero_at(local, chunk);
      let g1 = scale_zero_at(local + 1u, chunk);
      let g2 = scale_zero_at(local + 2u, chunk);
      let g3 = scale_zero_at(local + 3u, chunk);
      let at = row * 5u * CHUNKS + chunk;
      let last = x[at + 4u * CHUNKS];
      let scale = bitcast<f32>(last.x);
      let i = Inputs(
        x[at],
        x[at + CHUNKS],
        x[at + 2u * CHUNKS],
        x[at + 3u * CHUNKS],
        bitcast<i32>(last.y),
      );
      sum += scale * vec4(product(w0, g0, i), product(w1, g1, i), product(w2, g2, i), product(w3, g3, i));
    }
  }
  sums[thread] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      sums[thread] += sums[thread + half];
    }
  }
  workgroupBarrier();

  let mine = first_local + 4u * thread; // one thread a quad of outputs now
  let inside = thread < THREADS / LANES && mine < slice.count;
  var value = vec4(0.0);
  if (inside) {
    value = sums[thread * LANES] + bias[(slice.first + mine) / 4u];
  }
  finish(value, row, slice.first + mine, thread, inside);
}
