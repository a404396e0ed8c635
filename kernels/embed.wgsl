// x[r] = table[token of row r], for the tokens whose embedding lies in this slice of the table.
override HIDDEN: u32;

struct Slice { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (rows): token, position, table, slot
@group(0) @binding(1) var<storage, read> table: array<u32>; // (count, HIDDEN / 2) pairs of f16
@group(0) @binding(2) var<storage, read_write> x: array<vec2<f32>>; // (rows, HIDDEN / 2)
@group(0) @binding(3) var<uniform> slice: Slice;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let pair = id.x;
  let row = id.y;
  let token = rows[row].x;
  if (pair >= HIDDEN / 2u || token < slice.first || token >= slice.first + slice.count) {
    return;
  }
  x[row * (HIDDEN / 2u) + pair] = unpack2x16float(table[(token - slice.first) * (HIDDEN / 2u) + pair]);
}
