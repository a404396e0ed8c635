// Rotates queries and the key by their position (NeoX style: dimension d pairs with d + D/2),
// scales the queries by 1/sqrt(D), and appends key and value to the KV cache as half precision.
//
// One thread handles the pairs (2i, 2i + D/2) and (2i+1, 2i+1 + D/2) of one head, so that it owns
// whole 32-bit words of the cache. Heads HEADS and HEADS + 1 are the one key and the one value.
override HEADS: u32;
override HEAD_DIM: u32;
override BLOCK: u32; // tokens in a KV block
override SCALE: f32;

@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>; // (rows): token, position, table, slot
@group(0) @binding(1) var<storage, read> tables: array<u32>; // block numbers, a run a sequence
@group(0) @binding(2) var<storage, read> angles: array<vec2<f32>>; // (positions, HEAD_DIM / 2): cos, sin
@group(0) @binding(3) var<storage, read> qkv: array<f32>; // (rows, HEADS + 2, HEAD_DIM)
@group(0) @binding(4) var<storage, read_write> q: array<f32>; // (rows, HEADS, HEAD_DIM)
@group(0) @binding(5) var<storage, read_write> kv: array<u32>; // (blocks, 2, BLOCK, HEAD_DIM / 2) pairs of f16

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let quarter = HEAD_DIM / 4u;
  let head = id.x / quarter;
  let i = id.x % quarter;
  if (head >= HEADS + 2u) {
    return;
  }
  let row = rows[id.y];
  let position = row.y;
  let source = (id.y * (HEADS + 2u) + head) * HEAD_DIM + 2u * i;
  let low = vec2(qkv[source], qkv[source + 1u]);
  let high = vec2(qkv[source + HEAD_DIM / 2u], qkv[source + HEAD_DIM / 2u + 1u]);

  var first = low;
  var second = high;
  if (head <= HEADS) {
    let a = angles[position * (HEAD_DIM / 2u) + 2u * i];
    let b = angles[position * (HEAD_DIM / 2u) + 2u * i + 1u];
    let cosine = vec2(a.x, b.x);
    let sine = vec2(a.y, b.y);
    first = low * cosine - high * sine;
    second = high * cosine + low * sine;
  }
  if (head < HEADS) {
    let place = (id.y * HEADS + head) * HEAD_DIM + 2u * i;
    q[place] = first.x * SCALE;
    q[place + 1u] = first.y * SCALE;
    q[place + HEAD_DIM / 2u] = second.x * SCALE;
    q[place + HEAD_DIM / 2u + 1u] = second.y * SCALE;
    return;
  }
  let block = tables[row.z + position / BLOCK];
  let half = head - HEADS; // 0: keys, 1: values
  let word = ((block * 2u + half) * BLOCK + position % BLOCK) * (HEAD_DIM / 2u) + i;
  kv[word] = pack2x16float(first);
  kv[word + quarter] = pack2x16float(second);
}
