// Y = epilogue(X W^T + bias) for many rows: tiles of 64 rows by 64 outputs, 32 inputs at a time,
// in workgroup memory; each thread keeps 4 rows by 4 outputs in registers.
//
//   workgroup (outputs / 64, rows / 64)    thread = 16 * ty + tx
//   loading:   thread t brings 8 inputs of row t / 4 and of output t / 4
//   computing: thread takes rows 4 ty .. 4 ty + 3 and outputs 4 tx .. 4 tx + 3
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

var<workgroup> xs: array<vec4<f32>, DEPTH * QUADS>; // (DEPTH, 64 rows)
var<workgroup> ws: array<vec4<f32>, DEPTH * QUADS>; // (DEPTH, 64 outputs)
var<private> acc0: vec4<f32>; // row 4 ty, outputs 4 tx .. 4 tx + 3
var<private> acc1: vec4<f32>;
var<private> acc2: vec4<f32>;
var<private> acc3: vec4<f32>;

fn put_x(row: u32, depth: u32, values: vec4<f32>) {
  xs[depth * QUADS + row / 4u][row % 4u] = values.x;
  xs[(depth + 1u) * QUADS + row / 4u][row % 4u] = values.y;
  xs[(depth + 2u) * QUADS + row / 4u][row % 4u] = values.z;
  xs[(depth + 3u) * QUADS + row / 4u][row % 4u] = values.w;
}

fn put_w(output: u32, depth: u32, values: vec4<f32>) {
  ws[depth * QUADS + output / 4u][output % 4u] = values.x;
  ws[(depth + 1u) * QUADS + output / 4u][output % 4u] = values.y;
  ws[(depth + 2u) * QUADS + output / 4u][output % 4u] = values.z;
  ws[(depth + 3u) * QUADS + output / 4u][output % 4u] = values.w;
}

fn multiply(k: u32, tx: u32, ty: u32) {
  let a = xs[k * QUADS + ty];
  let b = ws[k * QUADS + tx];
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
  let line = thread / 4u; // the row and the output this thread loads
  let part = (thread % 4u) * 8u; // the inputs of the tile it loads
  let row = min(group.y * TILE + line, rows.x - 1u);
  let output = min(group.x * TILE + line, slice.count - 1u);

  for (var k = 0u; k < IN; k += DEPTH) {
    let at = (row * IN + k + part) / 4u;
    let low_x = x[at];
    let high_x = x[at + 1u];
    let scale_zero = unpack2x16float(groups[(slice.first + output) * GROUPS + k / GROUP_SIZE]);
    var low: vec4<f32>;
    var high: vec4<f32>;
    if (BITS == 8u) {
      let word = output * WORDS + (k + part) / 4u;
      low = vec4<f32>(unpack4xU8(weight[word]));
      high = vec4<f32>(unpack4xU8(weight[word + 1u]));
    } else {
      let word = weight[output * WORDS + (k + part) / 8u];
      low = vec4<f32>(unpack4xU8(word & 0x0f0f0f0fu));
      high = vec4<f32>(unpack4xU8((word >> 4u) & 0x0f0f0f0fu));
    }
    workgroupBarrier();
    put_x(line, part, low_x);
    put_x(line, part + 4u, high_x);
    put_w(line, part, (low - scale_zero.y) * scale_zero.x);
    put_w(line, part + 4u, (high - scale_zero.y) * scale_zero.x);
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
  let local = group.x * TILE + 4u * tx;
  finish(first_row, local, acc0);
  finish(first_row + 1u, local, acc1);
  finish(first_row + 2u, local, acc2);
  finish(first_row + 3u, local, acc3);
}
