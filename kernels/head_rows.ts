/**
 * The language-model head for many rows, which share one read of the table.
 *
 * Knows the half-precision table, one slice a dispatch, and its two arithmetics; knows nothing of how
 * logits are used.
 *
 *   workgroup (rows / 8, outputs / (32 quads a thread))     thread = lanes * group + lane
 *   lane l reads 16 bytes (8 inputs) at l, l + lanes, ... of a thread's rows of the table and of eight
 *   rows of x, and multiplies each with each; then the lanes' sums are put together
 *
 * Where the GPU computes in half precision, x comes in halves: four products of each of two inputs
 * are added as such, the rest in f32.
 */
import { compileKernel, defineKernel, type KernelSource } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { HALVES } from "./gptq_gemm_halves.ts";
import code from "./head_rows.wgsl" with { type: "text" };

const ROWS = 8;
/** Outputs of a workgroup, for each quad of a thread. */
const OUTPUTS = 32;
/** Quads of outputs of a thread: halves take half the registers. */
const QUADS = { floats: 1, halves: 2 };

const bindings = {
  /** (rows, hidden), as floats or as halves. */
  x: "read",
  table: "read",
  logits: "read_write",
  slice: "uniform",
  rows: "uniform",
} as const;

type Source = KernelSource<keyof typeof bindings>;

const FLOATS = `
alias X = vec4<f32>;

fn halves_of(words: vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}
`;

const floats: Source = defineKernel({
  name: "head_rows",
  code: FLOATS + text(QUADS.floats, (q) => {
    const outputs = [0, 1, 2, 3];
    return [
      ...outputs.map((o) => `let w${o} = table[${entry(q, o)}];`),
      ...outputs.map((o) => `let a${o} = halves_of(w${o}.xy); let b${o} = halves_of(w${o}.zw);`),
      ...count(ROWS).map((r) =>
        `{
          let at = min(row + ${r}u, rows.y - 1u) * (HIDDEN / 4u) + 2u * load;
          let low = x[at];
          let high = x[at + 1u];
          sum${r}_${q} += vec4(${
          outputs.map((o) => `dot(a${o}, low) + dot(b${o}, high)`).join(", ")
        });
        }`
      ),
    ];
  }),
  bindings,
});

const halves: Source = defineKernel({
  name: "head_rows f16",
  code: "enable f16;\nalias X = vec4<u32>;\n" + HALVES + text(QUADS.halves, (q) => {
    const outputs = [0, 1, 2, 3];
    const pairs = ["x", "y", "z", "w"];
    return [
      ...outputs.map((o) => `let w${o} = table[${entry(q, o)}];`),
      ...outputs.map((o) => pairs.map((p) => `let h${o}${p} = halves(w${o}.${p});`).join(" ")),
      ...count(ROWS).map((r) =>
        `{
          let v = x[min(row + ${r}u, rows.y - 1u) * LOADS + load];
          ${pairs.map((p) => `let x${p} = halves(v.${p});`).join(" ")}
          ${
          outputs.map((o) => {
            const rest = `fma(h${o}y, xy, fma(h${o}z, xz, h${o}w * xw))`;
            return `let s${o} = fma(h${o}x, xx, ${rest});`;
          }).join("\n          ")
        }
          sum${r}_${q} += vec4(${outputs.map((o) => `f32(s${o}.x) + f32(s${o}.y)`).join(", ")});
        }`
      ),
    ];
  }),
  bindings,
});

/** Whether this GPU's kernel takes x in halves. */
export function headTakesHalves(gpu: Gpu): boolean {
  return gpu.halves;
}

/** `logits[r, slice.first + v] = table[v] . x[r]`; dispatch(entries of the slice, rows). */
export function headRows(
  gpu: Gpu,
  shape: { hidden: number; vocab: number },
  inHalves = headTakesHalves(gpu),
) {
  const width = OUTPUTS * (inHalves ? QUADS.halves : QUADS.floats);
  return compileKernel(
    gpu,
    inHalves ? halves : floats,
    { HIDDEN: shape.hidden, VOCAB: shape.vocab },
    (entries: number, rows: number) => [Math.ceil(rows / ROWS), Math.ceil(entries / width)],
  );
}

/** The kernel with its products and its rounds written out: loops would cost registers. */
function text(quads: number, products: (q: number) => string[]): string {
  const sums = count(quads).flatMap((q) => count(ROWS).map((r) => `var sum${r}_${q} = vec4(0.0);`));
  const rounds = count(quads).flatMap((q) => [
    ...q > 0 ? ["workgroupBarrier();"] : [],
    ...count(ROWS).map((r) => `sums[${r}u * THREADS + thread] = sum${r}_${q};`),
    "workgroupBarrier();",
    `put_together(row, first_local + ${4 * q}u * GROUPS_OF_LANES, thread);`,
  ]);
  return `const QUADS = ${quads}u;\n` + code
    .replace("//SUMS", sums.join("\n  "))
    .replace(
      "//PRODUCTS",
      count(quads).map((q) => `{\n      ${products(q).join("\n      ")}\n    }`).join("\n    "),
    )
    .replace("//ROUNDS", rounds.join("\n  "));
}

/** Place in the table of output `o` of quad `q` of a thread. */
function entry(q: number, o: number): string {
  return `min(local + ${4 * q}u * GROUPS_OF_LANES + ${o}u, last) * LOADS + load`;
}

function count(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
