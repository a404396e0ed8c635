// Y = epilogue(X W^T + bias) for many rows: tiles of 64 rows by 64 outputs, 32 inputs at a time,
// in workgroup memory; each thread keeps 4 rows by 4 outputs in registers.
//
//   workgroup (outputs / 64, rows / 64)    thread = 16 * ty + tx
//   loading:   thread brings 4 inputs of rows 4 tx .. 4 tx + 3 (ty < 8) or of outputs 4 tx ..
//              4 tx + 3 (ty >= 8), and stores whole vectors: a write to one component of a vector
//              may touch its neighbours, which would be other threads' then
//   computing: thread takes rows 4 ty .. 4 ty + 3 and outputs 4 tx .. 4 tx + 3
//
// A slice begins at a multiple of 4 outputs and holds a multiple of 4.
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store, 1: store gelu (its text is in gelu.ts), 2: add to y

const TILE = 64u;
const DEPTH = 32u;
const QUADS = TILE / 4u;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, IN / 4)
@group(0) @binding(1) var<storage, read> weight: array<u32>; // (count, IN * BITS / 32)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (OUT / 4)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // (rows, OUT / 4)
@group(0) @binding(5) var<uniform> slice: Slice;
@group(0) @binding(6) var<uniform> rows: vec4<u32>; // x: number of rows

override WORDS: u32 = IN * BITS / 32u;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> tiles: array<vec4<f32>, 2u * DEPTH * QUADS>; // (DEPTH, 64 rows), (DEPTH, 64 outputs)
var<private> acc0: vec4<f32>; // row 4 ty, outputs 4 tx .. 4 tx + 3
var<private> acc1: vec4<f32>;
var<private> acc2: vec4<f32>;
var<private> acc3: vec4<f32>;

// x[row, k .. k + 3]; rows past the last repeat it.
fn inputs(row: u32, k: u32) -> vec4<f32> {
  return x[(min(row, rows.x - 1u) * IN + k) / 4u];
}

// W[output of the slice, k .. k + 3]; outputs past the last repeat it.
fn weights(output: u32, k: u32) -> vec4<f32> {
  let local = min(output, slice.count - 1u);
  let scale_zero = unpack2x16float(groups[(slice.first + local) * GROUPS + k / GROUP_SIZE]);
  var word = weight[local * WORDS + k * BITS / 32u];
  if (BITS == 4u) {
    word = (word >> (k & 4u)) & 0x0f0f0f0fu;
  }
  return (vec4<f32>(unpack4xU8(word)) - scale_zero.y) * scale_zero.x;
}

fn multiply(k: u32, tx: u32, ty: u32) {
  let a = tiles[k * QUADS + ty];
  let b = tiles[(DEPTH + k) * QUADS + tx];
  acc0 += a.x * b;
  acc1 += a.y * b;
  acc2 += a.z * b;
  acc3 += a.w * b;
}

fn finish(row: u32, local: u32, sum: vec4<f32>) {
  if (row >= rows.x || local >= slice.count) {
    return;
  }
  let quad = (slice.first + local) / 4u;
  let value = sum + bias[quad];
  let at = row * (OUT / 4u) + quad;
  if (EPILOGUE == 0u) {
    y[at] = value;
  } else if (EPILOGUE == 1u) {
    y[at] = gelu(value);
  } else {
    y[at] += value;
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % QUADS;
  let ty = thread / QUADS;
  let row = group.y * TILE + 4u * tx;
  let output = group.x * TILE + 4u * tx;
  let line = 4u * ty; // of tiles: the inputs of the rows, then those of the outputs

  for (var k = 0u; k < IN; k += DEPTH) {
    var part: mat4x4<f32>; // a column an input, a line a row or an output
    if (line < DEPTH) {
      let at = k + line;
      part = transpose(mat4x4(inputs(row, at), inputs(row + 1u, at), inputs(row + 2u, at),
        inputs(row + 3u, at)));
    } else {
      let at = k + line - DEPTH;
      part = transpose(mat4x4(weights(output, at), weights(output + 1u, at),
        weights(output + 2u, at), weights(output + 3u, at)));
    }
    workgroupBarrier();
    tiles[line * QUADS + tx] = part[0];
    tiles[(line + 1u) * QUADS + tx] = part[1];
    tiles[(line + 2u) * QUADS + tx] = part[2];
    tiles[(line + 3u) * QUADS + tx] = part[3];
    workgroupBarrier();
    for (var i = 0u; i < DEPTH; i += 8u) {
      multiply(i, tx, ty);
      multiply(i + 1u, tx, ty);
      multiply(i + 2u, tx, ty);
      multiply(i + 3u, tx, ty);
      multiply(i + 4u, tx, ty);
      multiply(i + 5u, tx, ty);
      multiply(i + 6u, tx, ty);
      multiply(i + 7u, tx, ty);
    }
  }

  let first_row = group.y * TILE + 4u * ty;
  finish(first_row, output, acc0);
  finish(first_row + 1u, output, acc1);
  finish(first_row + 2u, output, acc2);
  finish(first_row + 3u, output, acc3);
}
