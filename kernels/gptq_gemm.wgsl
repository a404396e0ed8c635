// Y = epilogue(X W^T + bias) for many rows: tiles of 64 rows by 128 outputs, 32 inputs at a time, in
// workgroup memory; each thread keeps 4 rows by 8 outputs in registers.
//
//   workgroup (outputs / 128, rows / 64)    thread = 16 * ty + tx
//   loading:   patches of 4 inputs by 4 rows, or by 4 outputs, stored as whole vectors: a write to
//              one component of a vector may touch its neighbours, which are other threads'
//   computing: thread takes rows 4 ty .. 4 ty + 3, outputs 4 tx .. 4 tx + 3 and the same plus 64
//
// x comes in chunks of two-byte numbers, and with gelu y leaves so (activation.ts, which has the
// text of store_quad; gelu's is in gelu.ts). A slice begins at a multiple of 32 outputs and holds a
// multiple of 4.
override BITS: u32;
override IN: u32;
override OUT: u32; // of the whole matrix: the stride of y
override GROUP_SIZE: u32;
override EPILOGUE: u32; // 0: store f32, 1: store gelu as chunks, 2: add to f32

const THREADS = 256u;
const DEPTH = 32u; // inputs of a tile: one chunk
const ROWS = 64u;
const OUTPUTS = 128u;
const X_QUADS = ROWS / 4u;
const W_QUADS = OUTPUTS / 4u;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>; // (rows, IN / 32) chunks
@group(0) @binding(1) var<storage, read> weight: array<u32>; // (count, IN * BITS / 32)
@group(0) @binding(2) var<storage, read> groups: array<u32>; // (OUT, GROUPS): f16 scale, f16 zero
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (OUT / 4)
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // (rows, OUT) f32, or chunks
@group(0) @binding(5) var<uniform> slice: Slice;
@group(0) @binding(6) var<uniform> rows: vec4<u32>; // x: number of rows

override CHUNKS: u32 = IN / 32u;
override WORDS: u32 = IN * BITS / 32u;
override GROUPS: u32 = (IN + GROUP_SIZE - 1u) / GROUP_SIZE;

var<workgroup> xs: array<vec4<f32>, DEPTH * X_QUADS>; // (DEPTH, ROWS)
var<workgroup> ws: array<vec4<f32>, DEPTH * W_QUADS>; // (DEPTH, OUTPUTS)
var<private> acc0: vec4<f32>; // row 4 ty, outputs 4 tx .. 4 tx + 3
var<private> acc1: vec4<f32>;
var<private> acc2: vec4<f32>;
var<private> acc3: vec4<f32>;
var<private> acc4: vec4<f32>; // row 4 ty, outputs 64 + 4 tx .. 64 + 4 tx + 3
var<private> acc5: vec4<f32>;
var<private> acc6: vec4<f32>;
var<private> acc7: vec4<f32>;

// What one thread brings for the next tile, as it lies in memory: fetched while the last tile is
// multiplied, made into numbers afterwards. Rows and outputs past the last repeat it.
struct XPatch { high: vec4<u32>, low: vec4<u32>, scale: vec4<u32> } // a component a row
struct WPatch { words: vec4<u32>, groups: vec4<u32> } // a component an output

fn fetch_x(first: u32, chunk: u32, quad: u32) -> XPatch {
  let line = min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(rows.x - 1u));
  let start = (line * CHUNKS + chunk) * 20u;
  let at = start + (quad % 2u) * 4u + quad / 2u;
  return XPatch(
    vec4(x[at.x], x[at.y], x[at.z], x[at.w]),
    vec4(x[at.x + 8u], x[at.y + 8u], x[at.z + 8u], x[at.w + 8u]),
    vec4(x[start.x + 16u], x[start.y + 16u], x[start.z + 16u], x[start.w + 16u]),
  );
}

fn fetch_w(first: u32, k: u32) -> WPatch {
  let line = min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(slice.count - 1u));
  let at = line * WORDS + k * BITS / 32u;
  let group = (slice.first + line) * GROUPS + k / GROUP_SIZE;
  return WPatch(
    vec4(weight[at.x], weight[at.y], weight[at.z], weight[at.w]),
    vec4(groups[group.x], groups[group.y], groups[group.z], groups[group.w]),
  );
}

fn x_numbers(high: u32, low: u32, scale: u32) -> vec4<f32> {
  return (vec4<f32>(unpack4xI8(high)) * 128.0 + vec4<f32>(unpack4xI8(low))) * bitcast<f32>(scale);
}

fn w_numbers(word: u32, group: u32) -> vec4<f32> {
  let scale_zero = unpack2x16float(group);
  return (vec4<f32>(unpack4xI8(word)) - scale_zero.y) * scale_zero.x;
}

fn put_x(p: XPatch, at: u32) {
  let part = transpose(mat4x4(
    x_numbers(p.high.x, p.low.x, p.scale.x),
    x_numbers(p.high.y, p.low.y, p.scale.y),
    x_numbers(p.high.z, p.low.z, p.scale.z),
    x_numbers(p.high.w, p.low.w, p.scale.w),
  ));
  xs[at] = part[0];
  xs[at + X_QUADS] = part[1];
  xs[at + 2u * X_QUADS] = part[2];
  xs[at + 3u * X_QUADS] = part[3];
}

fn put_w(p: WPatch, quad: u32, at: u32) {
  var words = p.words;
  if (BITS == 4u) {
    words = (words >> vec4(4u * (quad % 2u))) & vec4(0x0f0f0f0fu);
  }
  let part = transpose(mat4x4(
    w_numbers(words.x, p.groups.x),
    w_numbers(words.y, p.groups.y),
    w_numbers(words.z, p.groups.z),
    w_numbers(words.w, p.groups.w),
  ));
  ws[at] = part[0];
  ws[at + W_QUADS] = part[1];
  ws[at + 2u * W_QUADS] = part[2];
  ws[at + 3u * W_QUADS] = part[3];
}

fn multiply(k: u32, tx: u32, ty: u32) {
  let a = xs[k * X_QUADS + ty];
  let b = ws[k * W_QUADS + tx];
  let c = ws[k * W_QUADS + tx + 16u];
  acc0 += a.x * b;
  acc1 += a.y * b;
  acc2 += a.z * b;
  acc3 += a.w * b;
  acc4 += a.x * c;
  acc5 += a.y * c;
  acc6 += a.z * c;
  acc7 += a.w * c;
}

fn finish(row: u32, local: u32, sum: vec4<f32>, thread: u32) {
  let inside = row < rows.x && local < slice.count;
  let output = slice.first + local;
  var value = sum + bias[min(output, OUT - 4u) / 4u];
  let at = row * OUT + output;
  if (EPILOGUE == 1u) {
    store_quad(gelu(value), at / 32u, thread, inside);
    return;
  }
  if (!inside) {
    return;
  }
  if (EPILOGUE == 2u) {
    value += vec4(
      bitcast<f32>(y[at]),
      bitcast<f32>(y[at + 1u]),
      bitcast<f32>(y[at + 2u]),
      bitcast<f32>(y[at + 3u]),
    );
  }
  y[at] = bitcast<u32>(value.x);
  y[at + 1u] = bitcast<u32>(value.y);
  y[at + 2u] = bitcast<u32>(value.z);
  y[at + 3u] = bitcast<u32>(value.w);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % 16u;
  let ty = thread / 16u;
  let row = group.y * ROWS;
  let output = group.x * OUTPUTS;

  // Patches: 8 quads of inputs by 32 quads of outputs, one a thread; by 16 of rows, for every second.
  let w_quad = thread / W_QUADS;
  let w_first = output + 4u * (thread % W_QUADS);
  let w_at = 4u * w_quad * W_QUADS + thread % W_QUADS;
  let brings_x = thread < 128u;
  let x_quad = (thread / X_QUADS) % 8u;
  let x_first = row + 4u * (thread % X_QUADS);
  let x_at = 4u * x_quad * X_QUADS + thread % X_QUADS;

  var w_next = fetch_w(w_first, 4u * w_quad);
  var x_next = fetch_x(x_first, 0u, x_quad);
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    workgroupBarrier();
    put_w(w_next, w_quad, w_at);
    if (brings_x) {
      put_x(x_next, x_at);
    }
    workgroupBarrier();
    let following = min(chunk + 1u, CHUNKS - 1u);
    w_next = fetch_w(w_first, following * DEPTH + 4u * w_quad);
    if (brings_x) {
      x_next = fetch_x(x_first, following, x_quad);
    }
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

  let first_row = row + 4u * ty;
  let local = output + 4u * tx;
  finish(first_row, local, acc0, thread);
  finish(first_row + 1u, local, acc1, thread);
  finish(first_row + 2u, local, acc2, thread);
  finish(first_row + 3u, local, acc3, thread);
  finish(first_row, local + 64u, acc4, thread);
  finish(first_row + 1u, local + 64u, acc5, thread);
  finish(first_row + 2u, local + 64u, acc6, thread);
  finish(first_row + 3u, local + 64u, acc7, thread);
}
