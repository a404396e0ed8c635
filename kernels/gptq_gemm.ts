/**
 * A quantised matrix times many vectors: batches and prefill.
 *
 * Knows the layouts that `gptq_repack` and `activation.ts` describe, and the tiles that it can be
 * cut in; knows nothing of act-order, which is folded away there.
 *
 *   workgroup (rows / tile.rows, outputs / tile width)    thread = lanes * group + lane
 *   lane l reads chunks l, l + lanes, ... : 32 inputs of `outputs` rows of W and of `rows` rows of x,
 *   and multiplies each with each; then the lanes' sums are put together, a round for each quad of
 *   outputs and eight rows
 *
 * Workgroups that share weights are neighbours, so that one of them fetches the weights for all. A
 * sum is put together in the same order whatever the number of rows.
 */
import { compileKernel, defineKernel, type KernelSource } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { FINISH } from "./gptq_finish.ts";
import { byteProducts, BYTES } from "./gptq_gemm_bytes.ts";
import { halfProducts, HALVES } from "./gptq_gemm_halves.ts";
import { matrixConstants, type MatrixShape } from "./gptq_shape.ts";
import type { Tile } from "./gptq_tiles.ts";
import code from "./gptq_gemm.wgsl" with { type: "text" };

/** Rows that one round puts together. */
const ROUND_ROWS = 8;

const bindings = {
  x: "read",
  weight: "read",
  groups: "read",
  bias: "read",
  y: "read_write",
  slice: "uniform",
  rows: "uniform",
  // Not read here; see `gptq_gemv.ts`.
  early1: "read",
  early2: "read",
} as const;

const sources = new Map<string, KernelSource<keyof typeof bindings>>();

/** `Y = epilogue(X W^T + bias)` for the outputs of one slice of W; dispatch(outputs, rows). */
export function gptqGemm(gpu: Gpu, shape: MatrixShape, tile: Tile) {
  const { rows: tileRows, outputs: perThread, lanes, threads } = tile;
  const width = perThread * threads / lanes;
  return compileKernel(
    gpu,
    sourceOf(tile, shape.numbers === "f16" ? shape.bits : undefined),
    matrixConstants(shape),
    (outputs: number, rows: number) => [Math.ceil(rows / tileRows), Math.ceil(outputs / width)],
  );
}

/** @param halves bits of weights that become halves; undefined for products of whole numbers */
function sourceOf(tile: Tile, halves: number | undefined) {
  const { rows, outputs, lanes, threads } = tile;
  const name = `gptq_gemm ${rows}x${outputs} ${lanes}/${threads}${halves ? ` f16 ${halves}` : ""}`;
  const known = sources.get(name);
  if (known) return known;
  const source = defineKernel({ name, code: text(tile, halves), bindings });
  sources.set(name, source);
  return source;
}

/** The kernel with its inner products and its rounds written out: loops would cost registers. */
function text({ rows, outputs, lanes, threads }: Tile, halves: number | undefined): string {
  const quads = count(outputs / 4);
  const quadSums = quads.map((q) => count(rows).map((r) => `sum${r}_${q}`));
  const constants = { ROWS: rows, QUADS: outputs / 4, LANES: lanes, THREADS: threads };
  const roundRows = Math.min(rows, ROUND_ROWS);
  const rounds = quads.flatMap((q) =>
    count(rows / roundRows).map((round) => {
      const first = round * roundRows;
      return [
        ...q + round > 0 ? ["workgroupBarrier();"] : [],
        ...count(roundRows).map((r) => `sums[${r}u * THREADS + thread] = sum${first + r}_${q};`),
        "workgroupBarrier();",
        `put_together(row + ${first}u, first_local + ${q}u * 4u * GROUPS_OF_LANES, thread);`,
      ];
    })
  ).flat();
  return (halves ? "enable f16;\n" : "") + FINISH +
    Object.entries(constants).map(([name, value]) => `const ${name} = ${value}u;\n`).join("") +
    `const ROUND_ROWS = ${roundRows}u;\n` + (halves ? HALVES : BYTES) +
    code
      .replace("//SUMS", quadSums.flat().map((sum) => `var ${sum} = vec4(0.0);`).join("\n  "))
      .replace(
        "//PRODUCTS",
        quads.map((q) => halves ? halfProducts(halves, q, rows) : byteProducts(q, rows)).join("\n"),
      )
      .replace("//ROUNDS", rounds.join("\n  "));
}

function count(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
