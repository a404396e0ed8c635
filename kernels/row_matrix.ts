/**
 * Quantised matrices streamed past a vector in workgroup memory, as WGSL text of the kernels for one
 * row.
 *
 * Knows the layouts of `gptq_repack` and of chunks in `row_vectors.ts`. It is no kernel; the
 * bindings it reads are the kernel's: NAME_weight (outputs, inputs * BITS / 128) vec4<u32>, and
 * NAME_groups (outputs, groups) u32.
 */
import { DOT_BYTES } from "./gptq_finish.ts";

const OUTPUTS = [0, 1, 2, 3];

/**
 * For each of `names`: `NAME_firsts(output, lane)` loads the first chunks of weights of outputs
 * `output` to `output + 3`, for lane of LANES; `NAME_sum(output, lane, order, firsts)` is their
 * product with the vector in that order, as far as the lane goes.
 *
 * The kernel declares LANES and GROUP_SIZE beside what `rowVectors` wants.
 *
 * All loads of a chunk come before its arithmetic: they are what takes time.
 */
export function rowMatrices(bits: number, first: number, names: readonly string[]): string {
  const wide = bits === 8;
  const each = (text: (i: number) => string, between = "\n  ") => OUTPUTS.map(text).join(between);
  const words = ["a", ...(wide ? ["b"] : [])].flatMap((part) => OUTPUTS.map((i) => `${part}${i}`));
  const firsts = Array.from({ length: first }, (_, i) => `f${i}`);
  const bytes = (i: number) =>
    wide
      ? `vec4(w.a${i}.xz, w.b${i}.xz), vec4(w.a${i}.yw, w.b${i}.yw)`
      : `w.a${i} & LOW, (w.a${i} >> vec4(4u)) & LOW`;
  return DOT_BYTES + `
override GROUPS: u32 = (32u * CHUNKS + GROUP_SIZE - 1u) / GROUP_SIZE;
const LOW = vec4<u32>(0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu, 0x0f0f0f0fu);

// One chunk of four outputs: ${wide ? 32 : 16} bytes of each; scale and zero of each.
struct Loaded {
  ${words.map((name) => `${name}: vec4<u32>,`).join("\n  ")}
  groups: vec4<u32>,
}

struct Firsts { ${firsts.map((name) => `${name}: Loaded`).join(", ")} }

struct Chunk {
  even_high: vec4<u32>,
  odd_high: vec4<u32>,
  even_low: vec4<u32>,
  odd_low: vec4<u32>,
  sum: i32,
}

// 32 weights of one output, even quads of inputs and odd ones, times a chunk, but for its scale.
fn product(even: vec4<u32>, odd: vec4<u32>, group: u32, c: Chunk) -> f32 {
  var whole = dot_bytes(even, c.even_high) + dot_bytes(odd, c.odd_high);
  if (NUMBERS == INT16) {
    whole = 128 * whole + dot_bytes(even, c.even_low) + dot_bytes(odd, c.odd_low);
  }
  let scale_zero = unpack2x16float(group);
  return scale_zero.x * f32(whole - i32(scale_zero.y) * c.sum);
}

fn products(w: Loaded, chunk: u32, order: u32) -> vec4<f32> {
  let at = order * 4u * CHUNKS + chunk;
  let scale_sum = scales[order * CHUNKS + chunk];
  let c = Chunk(chunks[at], chunks[at + CHUNKS], chunks[at + 2u * CHUNKS], chunks[at + 3u * CHUNKS],
    bitcast<i32>(scale_sum.y));
  return bitcast<f32>(scale_sum.x) * vec4(
    ${each((i) => `product(${bytes(i)}, w.groups[${i}], c),`, "\n    ")}
  );
}
` + names.map(matrix).join("");

  function matrix(name: string): string {
    const load = (part: string, offset: number) =>
      each((i) => `let ${part}${i} = ${name}_weight[first + ${i}u * next + ${offset}u];`);
    return `
fn ${name}_load(output: u32, chunk: u32) -> Loaded {
  let first = (output * CHUNKS + chunk) * ${wide ? 2 : 1}u;
  let next = CHUNKS * ${wide ? 2 : 1}u;
  ${load("a", 0)}
  ${wide ? load("b", 1) : ""}
  let group = output * GROUPS + chunk * 32u / GROUP_SIZE;
  let groups = vec4(
    ${each((i) => `${name}_groups[group + ${i}u * GROUPS],`, "\n    ")}
  );
  return Loaded(${words.join(", ")}, groups);
}

fn ${name}_firsts(output: u32, lane: u32) -> Firsts {
  return Firsts(${
      firsts.map((_, i) => `${name}_load(output, min(lane + ${i}u * LANES, CHUNKS - 1u))`).join(
        ", ",
      )
    });
}

fn ${name}_sum(output: u32, lane: u32, order: u32, firsts: Firsts) -> vec4<f32> {
  var sum = vec4(0.0);
  ${
      firsts.map((f, i) =>
        `if (lane + ${i}u * LANES < CHUNKS) { sum += products(firsts.${f}, lane + ${i}u * LANES, order); }`
      ).join("\n  ")
    }
  for (var chunk = lane + ${first}u * LANES; chunk < CHUNKS; chunk += LANES) {
    sum += products(${name}_load(output, chunk), chunk, order);
  }
  return sum;
}
`;
  }
}
