// out[i] = x[picked[i]]: the few rows whose logits are wanted.
override WIDTH: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>; // (rows, WIDTH)
@group(0) @binding(1) var<storage, read> picked: array<u32>; // (picks)
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // (picks, WIDTH)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < WIDTH) {
    out[id.y * WIDTH + id.x] = x[picked[id.y] * WIDTH + id.x];
  }
}
