// Puts the runs of keys of each head together, a softmax over runs that are each already summed, in
// the order in which the output projection keeps its inputs (act-order).
//
//   workgroup (outputs / 256, row)     each thread four outputs, wherever they come from
//
// The text of store_quad is in activation.ts.
override HEADS: u32;
override HEAD_DIM: u32;
override NUMBERS: u32; // of y

const THREADS = 64u;
const LOWEST = -3.0e38;

struct Step { split_keys: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (rows): token, position, table, slot
@group(0) @binding(1) var<storage, read> partial: array<f32>; // (rows, splits, HEADS, HEAD_DIM + 2)
@group(0) @binding(2) var<storage, read> perm: array<vec4<u32>>; // (HEADS * HEAD_DIM / 4)
@group(0) @binding(3) var<storage, read_write> y: array<u32>; // (rows, HEADS * HEAD_DIM / 32) chunks
@group(0) @binding(4) var<uniform> step: Step;

override WIDTH: u32 = HEADS * HEAD_DIM;
override STRIDE: u32 = HEADS * (HEAD_DIM + 2u);

// Four runs at a time, so that four loads are under way at once; runs past the last count nothing.
fn combined(row: u32, output: u32, splits: u32) -> f32 {
  let first = row * step.splits * STRIDE + output / HEAD_DIM * (HEAD_DIM + 2u);
  let value = 2u + output % HEAD_DIM;
  let end = splits - 1u;
  var highest = vec4(LOWEST);
  for (var s = 0u; s < splits; s += 4u) {
    let at = first + min(vec4(s, s + 1u, s + 2u, s + 3u), vec4(end)) * STRIDE;
    highest = max(highest, vec4(partial[at.x], partial[at.y], partial[at.z], partial[at.w]));
  }
  let top = max(max(highest.x, highest.y), max(highest.z, highest.w));
  var sum = 0.0;
  var weight = 0.0;
  for (var s = 0u; s < splits; s += 4u) {
    let run = vec4(s, s + 1u, s + 2u, s + 3u);
    let at = first + min(run, vec4(end)) * STRIDE;
    let maxima = vec4(partial[at.x], partial[at.y], partial[at.z], partial[at.w]);
    let weights = vec4(partial[at.x + 1u], partial[at.y + 1u], partial[at.z + 1u], partial[at.w + 1u]);
    let values = vec4(
      partial[at.x + value],
      partial[at.y + value],
      partial[at.z + value],
      partial[at.w + value],
    );
    let scale = select(vec4(0.0), exp(maxima - top), run < vec4(splits));
    weight += dot(scale, weights);
    sum += dot(scale, values);
  }
  return sum / weight;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let quad = group.x * THREADS + thread;
  let inside = quad < WIDTH / 4u;
  let splits = rows[row].y / step.split_keys + 1u;
  let i = perm[min(quad, WIDTH / 4u - 1u)];
  let values = vec4(
    combined(row, i.x, splits),
    combined(row, i.y, splits),
    combined(row, i.z, splits),
    combined(row, i.w, splits),
  );
  store_quad(values, place_of(row, quad / 8u, WIDTH / 32u), thread, inside);
}
