// y[r] = LN(x[r]) in the order perm: one workgroup a row, each thread four numbers at a time. The
// permutation is the order in which the matrix that reads y keeps its inputs (act-order).
// The texts of statistics and store_quad are in row_statistics.ts and activation.ts.
override HIDDEN: u32;
override EPSILON: f32;
override NUMBERS: u32; // of y

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, HIDDEN / 4)
@group(0) @binding(1) var<storage, read> weight: array<f32>; // (HIDDEN)
@group(0) @binding(2) var<storage, read> bias: array<f32>; // (HIDDEN)
@group(0) @binding(3) var<storage, read> perm: array<vec4<u32>>; // (HIDDEN / 4)
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // (rows, HIDDEN / 32) chunks

fn x_at(i: u32) -> f32 {
  return x[i / 4u][i % 4u];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * HIDDEN;
  let mean_scale = statistics(group.x, thread);
  for (var first = 0u; first < HIDDEN / 4u; first += THREADS) {
    let quad = first + thread;
    let inside = quad < HIDDEN / 4u;
    let i = perm[min(quad, HIDDEN / 4u - 1u)];
    let values = vec4(x_at(row + i.x), x_at(row + i.y), x_at(row + i.z), x_at(row + i.w));
    let weights = vec4(weight[i.x], weight[i.y], weight[i.z], weight[i.w]);
    let biases = vec4(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
    let normed = (values - mean_scale.x) * mean_scale.y * weights + biases;
    store_quad(normed, place_of(group.x, quad / 8u, HIDDEN / 32u), thread, inside);
  }
}
