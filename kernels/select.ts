/**
 * A row ended from a short list of candidates: truncated, drawn and concluded in one dispatch.
 *
 * Knows its bindings and grid, and which rows it can end. The rules are those of `summarize`,
 * `truncate`, `narrow`, `draw` and `choose`, in the same texts: the result is the same to the last
 * bit.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { LIST_RACE } from "./list_race.ts";
import { OUTCOME } from "./outcome.ts";
import { PROBABILITY } from "./probability.ts";
import { RACE } from "./race.ts";
import { ROW_EQUALS } from "./row_equals.ts";
import { ROW_SUMMARY } from "./row_summary.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import { shortlist } from "./shortlist.ts";
import { TOP_P_CUT } from "./top_p.ts";
import { WIDE_INTEGER } from "./wide_integer.ts";
import code from "./select.wgsl" with { type: "text" };

/** Candidates of a thread: 65 of each of up to 32 chunks, over 256 threads. */
const CANDIDATES = Array.from({ length: 9 }, (_, i) => i);

const source = defineKernel({
  name: "select",
  code: [
    WIDE_INTEGER,
    SAMPLING_ROWS,
    SAMPLING_STATE,
    shortlist(CANDIDATES.length),
    ROW_SUMMARY,
    PROBABILITY,
    TOP_P_CUT,
    ROW_EQUALS,
    RACE,
    OUTCOME,
    LIST_RACE,
    writtenOut(code),
  ].join(""),
  bindings: {
    truncations: "read",
    draws: "read",
    choices: "read",
    parts: "read",
    candidates: "read",
    powers: "read",
    logits: "read",
    scores: "read",
    cuts: "read_write",
    results: "read_write",
    counts: "read_write",
    sampled: "read_write",
  },
});

/** Whether a kernel of this GPU can have so many buffers; WebGPU promises eight. */
export function canSelect({ device: { limits } }: Pick<Gpu, "device">): boolean {
  return limits.maxStorageBuffersPerShaderStage >= Object.keys(source.bindings).length;
}

/**
 * Writes `results`, (rows), as `choose` does, but for the lists of tokens; remembers the tokens; and
 * leaves in `cuts`, (rows), below which score and id everything is removed. Rows that are drawn have
 * a top-k of 1 to MOST_CANDIDATES and no typical-p. dispatch(rows).
 */
export function select(gpu: Gpu, vocab: number) {
  return compileKernel(
    gpu,
    source,
    { VOCAB: vocab, CHUNKS: chunksOf(vocab) },
    (rows: number) => [rows],
  );
}

function writtenOut(code: string): string {
  const each = (text: (i: number) => string) => CANDIDATES.map(text).join("\n  ");
  const key = (i: number) => `pair${i}.x`;
  const enter = (i: number) => `{ enter(pair${i}.x, pair${i}.y); }`;
  return code
    .replace(
      "//LOADS",
      each((i) => `let pair${i} = candidate(row, thread + ${i}u * THREADS, wanted);`),
    )
    .replace("/*KEYS*/", CANDIDATES.map(key).reduce((a, b) => `max(${a}, ${b})`))
    .replace("//ABOVE", each((i) => `if (${key(i)} > least) ${enter(i)}`))
    .replace("//EQUAL", each((i) => `if (${key(i)} == least && least > 0u) ${enter(i)}`));
}
