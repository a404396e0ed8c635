// y[r] = epilogue(W x[r] + bias) for few rows: the weights are streamed, LANES threads an output.
//
//   workgroup (outputs / OUTPUTS, row)     thread = LANES * output + lane
//   lane l reads words l, l + LANES, ... of its output, 16 bytes (32 or 16 inputs) at a time
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store, 1: store gelu (its text is in gelu.ts), 2: add to y

const LANES = 16u;
const OUTPUTS = 16u;
const THREADS = LANES * OUTPUTS;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, IN / 4)
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>; // (count, IN * BITS / 128)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (OUT)
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // (rows, OUT)
@group(0) @binding(5) var<uniform> slice: Slice;

override PER_LOAD: u32 = 128u / BITS; // inputs in 16 bytes of weights
override LOADS: u32 = IN / PER_LOAD;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> partial: array<f32, THREADS>;

// The inner product of one word of weights with x, which starts at x[at].
fn product(word: u32, at: u32, zero: f32) -> f32 {
  if (BITS == 8u) {
    return dot(vec4<f32>(unpack4xU8(word)) - zero, x[at]);
  }
  let low = vec4<f32>(unpack4xU8(word & 0x0f0f0f0fu)) - zero;
  let high = vec4<f32>(unpack4xU8((word >> 4u) & 0x0f0f0f0fu)) - zero;
  return dot(low, x[at]) + dot(high, x[at + 1u]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let local = group.x * OUTPUTS + thread / LANES;
  let output = slice.first + local;
  let row = group.y * (IN / 4u);
  let words = PER_LOAD / 16u; // vec4s of x a word meets
  var sum = 0.0;
  if (local < slice.count) {
    for (var load = lane; load < LOADS; load += LANES) {
      let w = weight[local * LOADS + load];
      let scale_zero = unpack2x16float(groups[output * GROUPS + load * PER_LOAD / GROUP_SIZE]);
      let at = row + load * (PER_LOAD / 4u);
      sum += scale_zero.x * (product(w.x, at, scale_zero.y) + product(w.y, at + words, scale_zero.y) +
        product(w.z, at + 2u * words, scale_zero.y) + product(w.w, at + 3u * words, scale_zero.y));
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
  sum += bias[output];
  let at = group.y * OUT + output;
  if (EPILOGUE == 0u) {
    y[at] = sum;
  } else if (EPILOGUE == 1u) {
    y[at] = gelu(vec4(sum)).x;
  } else {
    y[at] += sum;
  }
}
