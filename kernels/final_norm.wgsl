// y[i] = LN(x[picked[i]]): the last norm, of the few rows whose logits are wanted; one workgroup a
// row. The text of statistics is in row_statistics.ts.
override HIDDEN: u32;
override EPSILON: f32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, HIDDEN / 4)
@group(0) @binding(1) var<storage, read> picked: array<u32>; // (picks)
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (HIDDEN / 4)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // (picks, HIDDEN / 4)
@group(0) @binding(5) var<storage, read_write> halves: array<vec2<u32>>; // the same in half precision

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = picked[group.x];
  let mean_scale = statistics(row, thread);
  let quads = HIDDEN / 4u;
  for (var i = thread; i < quads; i += THREADS) {
    let normed = (x[row * quads + i] - mean_scale.x) * mean_scale.y * weight[i] + bias[i];
    y[group.x * quads + i] = normed;
    halves[group.x * quads + i] = vec2(pack2x16float(normed.xy), pack2x16float(normed.zw));
  }
}
