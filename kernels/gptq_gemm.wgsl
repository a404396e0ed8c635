// Y = epilogue(X W^T + bias) for many rows. gptq_gemm.ts draws who reads what, declares ROWS, QUADS,
// LANES, THREADS and ROUND_ROWS, and writes out what the comments of one word stand for. How a quad of
// outputs meets a chunk of a row is in gptq_gemm_bytes.ts and gptq_gemm_halves.ts.
//
// A slice begins at a multiple of 32 outputs when they leave in chunks (gelu), and holds a multiple
// of 4; eight groups of lanes make a chunk of outputs then. The texts of dot_bytes and finish are in
// gptq_finish.ts.
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store f32, 1: store gelu as chunks, 2: add to f32
override NUMBERS: u32; // what x is stored as, and y in chunks

const GROUPS_OF_LANES = THREADS / LANES;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>; // (rows, 5, IN / 32): chunks
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>; // (count, IN * BITS / 128)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (OUT / 4)
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // (rows, OUT) f32, or chunks
@group(0) @binding(5) var<uniform> slice: Slice;
@group(0) @binding(6) var<uniform> rows: vec4<u32>; // x: number of rows

override CHUNKS: u32 = IN / 32u;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> sums: array<vec4<f32>, ROUND_ROWS * THREADS>;

fn scale_zero_at(local: u32, chunk: u32) -> vec2<f32> {
  return unpack2x16float(groups[(slice.first + local) * GROUPS + chunk * 32u / GROUP_SIZE]);
}

// One thread a row and a quad of outputs: the lanes' sums become outputs.
fn put_together(row: u32, first_local: u32, thread: u32) {
  let quad = thread % GROUPS_OF_LANES;
  let mine = row + thread / GROUPS_OF_LANES;
  let output = first_local + 4u * quad;
  let inside = thread < ROUND_ROWS * GROUPS_OF_LANES && mine < rows.x && output < slice.count;
  var value = vec4(0.0);
  if (inside) {
    let first = (thread / GROUPS_OF_LANES) * THREADS + quad * LANES;
    for (var i = 0u; i < LANES; i += 4u) {
      value += (sums[first + i] + sums[first + i + 1u]) + (sums[first + i + 2u] + sums[first + i + 3u]);
    }
    value += bias[(slice.first + output) / 4u];
  }
  finish(value, mine, slice.first + output, thread, inside);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * ROWS;
  let first_local = group.y * (4u * QUADS * GROUPS_OF_LANES);
  let local = first_local + 4u * (thread / LANES);
  //SUMS
  for (var chunk = thread % LANES; chunk < CHUNKS; chunk += LANES) {
    //PRODUCTS
  }
  //ROUNDS
}
