/**
 * A row's token, its log-probabilities, and what later steps need to know of it.
 *
 * Knows the three ways a token is settled and the layout of a result.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { OUTCOME } from "./outcome.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import code from "./choose.wgsl" with { type: "text" };

const source = defineKernel({
  name: "choose",
  code: SAMPLING_ROWS + SAMPLING_STATE + OUTCOME + code,
  bindings: {
    rows: "read",
    summaries: "read",
    runners: "read",
    logits: "read",
    scores: "read",
    results: "read_write",
    counts: "read_write",
    sampled: "read_write",
  },
});

export const CHOICE_BYTES = 20;

/** Entries of each of a result's two lists of tokens. */
const MOST_TOKENS = 20;
const HEAD_BYTES = 20;
const LIST_BYTES = MOST_TOKENS * 8;
const NO_TOKEN = 0xffffffff;

/** Bytes of a row's entry in `results`. */
export const RESULT_BYTES = HEAD_BYTES + 2 * LIST_BYTES;

const MODES = { greedy: 0, drawn: 1, forced: 2 } as const;

export interface Choice {
  /** Row of `counts` and `sampled` that remembers the token. */
  slot: number;
  /** `forced`: the token is `forced`, whatever the scores say, and is not remembered. */
  mode: keyof typeof MODES;
  forced: number;
  /** Length of each list of best tokens. */
  top: number;
  /** Above 0: what the processed log-probability divides scores by. */
  temperature: number;
}

export interface Result {
  id: number;
  /** The logits were no distribution (NaN, say): nothing here means anything. */
  invalid: boolean;
  logprob: number;
  processedLogprob: number;
  /** Best first, shorter where fewer tokens are left: by the logits, and by the scores. */
  top: { id: number; logprob: number }[];
  processedTop: { id: number; logprob: number }[];
}

/**
 * Writes `results`, (rows); adds the token to `counts`, (slots, vocab), and writes it to `sampled`,
 * (slots). Rows of one dispatch that remember their token have different slots. dispatch(rows).
 */
export function choose(gpu: Gpu, vocab: number) {
  return compileKernel(
    gpu,
    source,
    { VOCAB: vocab, CHUNKS: chunksOf(vocab) },
    (rows: number) => [rows],
  );
}

export function writeChoice(view: DataView, row: number, choice: Choice): void {
  const at = row * CHOICE_BYTES;
  view.setUint32(at, choice.slot, true);
  view.setUint32(at + 4, MODES[choice.mode], true);
  view.setUint32(at + 8, choice.forced, true);
  view.setUint32(at + 12, choice.top, true);
  view.setFloat32(at + 16, choice.temperature, true);
}

/** Reads the result at byte `at`; `top` is what its row asked for. */
export function readResult(view: DataView, at: number, top: number): Result {
  return {
    id: view.getUint32(at, true),
    invalid: view.getUint32(at + 4, true) !== 0,
    logprob: view.getFloat32(at + 8, true),
    processedLogprob: view.getFloat32(at + 12, true),
    top: readList(view, at + HEAD_BYTES, top),
    processedTop: readList(view, at + HEAD_BYTES + LIST_BYTES, top),
  };
}

function readList(view: DataView, at: number, length: number): Result["top"] {
  const list: Result["top"] = [];
  for (let i = 0; i < Math.min(length, MOST_TOKENS); i++) {
    const id = view.getUint32(at + 8 * i, true);
    if (id === NO_TOKEN) break;
    list.push({ id, logprob: view.getFloat32(at + 8 * i + 4, true) });
  }
  return list;
}
