// Puts the runs of keys of one row and head together: a softmax over runs, each already summed.
// The result is written where the output projection, in act-order, expects it.
override HEADS: u32;
override HEAD_DIM: u32;

const LOWEST = -3.0e38;

struct Step { split_keys: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (rows): token, position, table, slot
@group(0) @binding(1) var<storage, read> partial: array<f32>; // (rows, splits, HEADS, HEAD_DIM + 2)
@group(0) @binding(2) var<storage, read> place: array<u32>; // (HEADS * HEAD_DIM)
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // (rows, HEADS * HEAD_DIM)
@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let width = HEADS * HEAD_DIM;
  if (id.x >= width) {
    return;
  }
  let head = id.x / HEAD_DIM;
  let dim = id.x % HEAD_DIM;
  let splits = rows[id.y].y / step.split_keys + 1u;
  let stride = HEADS * (HEAD_DIM + 2u);
  let first = (id.y * step.splits * HEADS + head) * (HEAD_DIM + 2u);
  var highest = LOWEST;
  for (var s = 0u; s < splits; s++) {
    highest = max(highest, partial[first + s * stride]);
  }
  var sum = 0.0;
  var weight = 0.0;
  for (var s = 0u; s < splits; s++) {
    let at = first + s * stride;
    let scale = exp(partial[at] - highest);
    weight += scale * partial[at + 1u];
    sum += scale * partial[at + 2u + dim];
  }
  out[id.y * width + place[id.x]] = sum / weight;
}
