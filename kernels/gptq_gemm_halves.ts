/**
 * Four outputs of a matrix times a chunk of some rows in half precision, as WGSL text of `gptq_gemm`:
 * two inputs an instruction, at twice the rate of f32.
 *
 * Knows the layouts of `gptq_repack` and `activation.ts`. It is no kernel and has no bindings.
 *
 * Weights become halves without a conversion: 0x6400 are the upper bits of 1024, whose lower ten count
 * in ones, so q in the lowest bits gives 1024 + q, and q in bits 4 to 7 gives 1024 + 16 q. With the
 * zero point taken off they are exact; they are kept as a 16th, of 8 bits as a 256th, so that they are
 * at most 1. Sixteen products are added in half precision, the sums of chunks in f32.
 *
 * All is written out: with functions and structs the same took an H200 a tenth longer.
 */
import { HALF_SCALE } from "./activation.ts";

/** Of the four vec4 of a chunk. */
const PARTS = [0, 1, 2, 3];
const OUTPUTS = [0, 1, 2, 3];
const COMPONENTS = ["x", "y", "z", "w"];

/** Put before the kernel; the same bits as halves, since naga has no bitcast to them. */
export const HALVES = `
fn halves(bits: u32) -> vec2<f16> {
  return vec2<f16>(unpack2x16float(bits));
}
`;

/** What the kernel does with quad `q` of a thread's outputs and a chunk: adds to sum0_q, sum1_q, ... */
export function halfProducts(bits: number, q: number, rows: number): string {
  return `{
      let quad = min(local + ${q}u * 4u * GROUPS_OF_LANES, slice.count - 4u);
      ${OUTPUTS.map((o) => weightsOf(bits, o)).join("\n      ")}
      ${Array.from({ length: rows }, (_, r) => productOf(q, r)).join("\n      ")}
    }`;
}

/** \`hO_J_K\`: pair K of the eight weights J of output O, and its scale \`sO\`. */
function weightsOf(bits: number, o: number): string {
  const pairs = PARTS.flatMap((j) =>
    (bits === 4 ? narrow(o, j) : wide(o, j)).map((pair, k) => `let h${o}_${j}_${k} = ${pair};`)
  );
  const step = bits === 4 ? 16 : 256;
  const at = `(quad + ${o}u) * CHUNKS + chunk`;
  const loads = bits === 4
    ? `let w${o} = weight[${at}];`
    : `let w${o} = weight[2u * (${at})]; let v${o} = weight[2u * (${at}) + 1u];`;
  return `${loads}
      let g${o} = scale_zero_at(quad + ${o}u, chunk);
      let s${o} = ${step / HALF_SCALE} * g${o}.x;
      let z${o} = ${bits === 4 ? "g" + o + ".y / 16.0" : `(128.0 + g${o}.y) / 256.0`};
      let z${o}_low = vec2(-f16(${1024 / step}.0 + z${o}));
      ${bits === 4 ? `let z${o}_high = vec2(-f16(4.0 + z${o}));` : ""}
      ${pairs.join("\n      ")}`;
}

/** Inputs 0 and 2, 4 and 6, 1 and 3, 5 and 7 of a word's eight. */
function narrow(o: number, j: number): string[] {
  const word = `w${o}.${COMPONENTS[j]}`;
  return [word, `(${word} >> 8u)`].flatMap((bits) => [
    `fma(halves((${bits} & 0x000f000fu) | 0x64006400u), vec2(0.0625h), z${o}_low)`,
    `fma(halves((${bits} & 0x00f000f0u) | 0x64006400u), vec2(0.00390625h), z${o}_high)`,
  ]);
}

/** The same of two words of four; they are kept less 128, which the turned sign bit adds again. */
function wide(o: number, j: number): string[] {
  const first = COMPONENTS[2 * (j % 2)];
  const second = COMPONENTS[2 * (j % 2) + 1];
  const words = [first, second].map((part) => `${j < 2 ? "w" : "v"}${o}.${part}`);
  return [0, 8].flatMap((shift) =>
    words.map((word) =>
      `fma(halves(((${word} >> ${shift}u) & 0x00ff00ffu) ^ 0x64806480u), vec2(0.00390625h), z${o}_low)`
    )
  );
}

/** Rows past the last one repeat it and are not stored. */
function productOf(q: number, r: number): string {
  const parts = PARTS.map((j) => {
    const sums = OUTPUTS.map((o) => {
      const product = [0, 1, 2, 3].reduce(
        (sum, k) => `fma(h${o}_${j}_${k}, x${k}, ${sum})`,
        `a${o}`,
      );
      return `a${o} = ${product};`;
    });
    return `{
          let v = x[at + ${j}u * CHUNKS];
          ${COMPONENTS.map((part, k) => `let x${k} = halves(v.${part});`).join(" ")}
          ${sums.join("\n          ")}
        }`;
  });
  return `{
        let at = min(row + ${r}u, rows.x - 1u) * 5u * CHUNKS + chunk;
        ${OUTPUTS.map((o) => `var a${o} = vec2(0.0h);`).join(" ")}
        ${parts.join("\n        ")}
        ${
    OUTPUTS.map((o) => `sum${r}_${q}.${COMPONENTS[o]} += s${o} * (f32(a${o}.x) + f32(a${o}.y));`)
      .join("\n        ")
  }
      }`;
}
