/**
 * A quantised matrix streamed past a vector in workgroup memory, as WGSL text of `decode_layers`.
 *
 * Knows the layouts of `gptq_repack` and of chunks (`activation.ts`). It is no kernel and has no
 * bindings.
 */

const OUTPUTS = [0, 1, 2, 3];

/**
 * `sums(m, row, first, end, lane, lanes)`: outputs row to row + 3 of a matrix, over the chunks first,
 * first + lanes, ... below end. `lanes` neighbouring threads do so together, lane by lane.
 *
 * All loads of a chunk come before its arithmetic: they are what takes time. Loading the next chunk
 * ahead costs more than it hides (LOG.md, 2026-11-25): registers.
 *
 * @param touchNext so many steps ahead a chunk's sectors are touched, one word of each, so that they
 * are near when they are loaded; 0: none
 * @param signedOdd see `decode_tail.ts`
 */
export function decodeMatrix(bits: number, touchNext: number, signedOdd: boolean): string {
  const wide = bits === 8;
  const each = (text: (i: number) => string) => OUTPUTS.map(text).join("\n  ");
  const loads = (name: string, offset: number) =>
    each((i) => `let ${name}${i} = weights[first + ${i}u * next + ${offset}u];`);
  const names = [...OUTPUTS.map((i) => `a${i}`), ...(wide ? OUTPUTS.map((i) => `b${i}`) : [])];
  const operands = (i: number) =>
    wide
      ? `vec4(w.a${i}.xz, w.b${i}.xz), vec4(w.a${i}.yw, w.b${i}.yw)`
      : signedOdd
      ? `w.a${i} & LOW, (w.a${i} & HIGH) ^ SIGN`
      : `w.a${i} & LOW, (w.a${i} >> vec4(4u)) & LOW`;
  // A step of the lanes is 16 bytes a lane and row: two sectors a lane with 4 bits, four with 8.
  const place = wide
    ? "(row * m.chunks + later) * 2u"
    : "(row + lane / (lanes / 2u)) * m.chunks + later - lane + 2u * (lane % (lanes / 2u))";
  const sectors = wide ? [0, 2, 4, 6] : [0, 2];
  const near = (text: (i: number) => string, between: string) => sectors.map(text).join(between);
  // No branch, and no use of what is touched before the arithmetic: nobody waits for it there.
  const ahead = `let w = load(m, row, chunk);
    let far = chunk + ${touchNext}u * lanes;
    let later = select(chunk, far, far < end);
    let next = m.at + ${place};
    ${near((i) => `let near${i} = weights[next + ${i}u * m.chunks].x;`, "\n    ")}
    sum += products(m, w, chunk);
    touched.groups ^= ${near((i) => `near${i}`, " ^ ")};`;
  return `
// Of a chunk of one output, in 16 bytes.
const CHUNK_SIZE = ${wide ? 2 : 1}u;
const LOW = vec4<u32>(0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu);
const HIGH = vec4<u32>(0xf0f0f0f0u, 0xf0f0f0f0u, 0xf0f0f0f0u, 0xf0f0f0f0u);
const SIGN = vec4<u32>(0x80808080u, 0x80808080u, 0x80808080u, 0x80808080u);

// Where a matrix lies, and the chunks of its input.
struct Matrix {
  at: u32,
  groups_at: u32,
  chunks: u32,
  groups: u32,
  per_group: u32, // chunks
  input_at: u32,
  scales_at: u32,
}

fn hidden_matrix(at: u32, groups_at: u32, input_at: u32, scales_at: u32) -> Matrix {
  return Matrix(at, groups_at, HIDDEN_CHUNKS, (HIDDEN + HIDDEN_GROUP - 1u) / HIDDEN_GROUP,
    HIDDEN_GROUP / 32u, input_at, scales_at);
}

fn down_matrix(layer: u32) -> Matrix {
  return Matrix(layer + DOWN_AT, layer + DOWN_GROUPS, FFN_CHUNKS, (FFN + FFN_GROUP - 1u) / FFN_GROUP,
    FFN_GROUP / 32u, 0u, 0u);
}

fn dense_matrix(layer: u32) -> Matrix {
  return hidden_matrix(layer + DENSE_AT, layer + DENSE_GROUPS, FOR_UP, 0u);
}

// One chunk of four outputs: ${wide ? 32 : 16} bytes of each; scale and zero of each.
struct Loaded {
  ${names.map((name) => `${name}: vec4<u32>,`).join("\n  ")}
  groups: vec4<u32>,
}

fn word(at: u32, i: u32) -> u32 {
  return weights[at + i / 4u][i % 4u];
}

fn load(m: Matrix, row: u32, chunk: u32) -> Loaded {
  let first = m.at + (row * m.chunks + chunk) * CHUNK_SIZE;
  let next = m.chunks * CHUNK_SIZE;
  ${loads("a", 0)}
  ${wide ? loads("b", 1) : ""}
  let group = row * m.groups + chunk / m.per_group;
  let groups = vec4(
    word(m.groups_at, group),
    word(m.groups_at, group + m.groups),
    word(m.groups_at, group + 2u * m.groups),
    word(m.groups_at, group + 3u * m.groups),
  );
  return Loaded(${names.join(", ")}, groups);
}

fn products(m: Matrix, w: Loaded, chunk: u32) -> vec4<f32> {
  let at = m.input_at + chunk;
  let tail = pool_scales[m.scales_at + chunk];
  let c = Chunk(pool[at], pool[at + m.chunks], pool[at + 2u * m.chunks], pool[at + 3u * m.chunks], tail);
  return bitcast<f32>(tail.x) * vec4(
    ${each((i) => `product(${operands(i)}, w.groups[${i}], c),`)}
  );
}

// Outputs row to row + 3 over the chunks first, first + lanes, ...
fn sums(m: Matrix, row: u32, first: u32, end: u32, lane: u32, lanes: u32) -> vec4<f32> {
  var sum = vec4(0.0);${touchNext ? "\n  var touched = Touched();" : ""}
  for (var chunk = first; chunk < end; chunk += lanes) {
    ${touchNext ? ahead : "sum += products(m, load(m, row, chunk), chunk);"}
  }${touchNext ? "\n  settle(touched);" : ""}
  return sum;
}
`;
}
