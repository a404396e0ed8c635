/**
 * Biases of single tokens, penalties for those that occurred before; and a first look at the row,
 * with the best tokens of each chunk for `select`.
 *
 * Knows the parameters of a row and their layout. Knows nothing of how a token is chosen.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { SAMPLING_ROWS } from "./sampling_rows.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import { MOST_WANTED, shortlist } from "./shortlist.ts";
import code from "./penalize.wgsl" with { type: "text" };

/** Tokens of a thread: written out, so that all are loaded before the first is looked at. */
const TOKENS = Array.from({ length: 8 }, (_, i) => i);

const source = defineKernel({
  name: "penalize",
  code: SAMPLING_ROWS + SAMPLING_STATE + shortlist(TOKENS.length) + writtenOut(code),
  bindings: {
    rows: "read",
    logits: "read",
    counts: "read",
    biases: "read",
    scores: "read_write",
    parts: "read_write",
    candidates: "read_write",
  },
});

/** Bytes of a row's entry in `candidates`, by its chunks. */
export const candidateBytes = (chunks: number) => MOST_WANTED * chunks * 8;

export const PENALTIES_BYTES = 32;

export interface Penalties {
  /** Row of `counts` that holds the occurrences, and of `biases`. */
  slot: number;
  /** Divides positive and multiplies negative logits of every token that occurred. */
  repetition: number;
  /** Subtracted for each generated occurrence, or each of the prompt too, see `wholeContext`. */
  frequency: number;
  wholeContext: boolean;
  /** Subtracted once where the token was generated before. */
  presence: number;
  /** Above 0: the sums of `parts` are of exp(score / temperature). */
  temperature: number;
  /** Whether `biases` are added first; what they hold is not read otherwise. */
  biased: boolean;
  /** Length of the list of each chunk's best tokens, 0 to MOST_WANTED. */
  wanted: number;
}

/**
 * `scores[r, v]` = `logits[r, v]` with its bias and penalties, (rows, vocab) both; -infinity stays.
 * `parts` gets (rows, chunks) entries for `summarize`. `candidates`, (rows, MOST_WANTED, chunks),
 * gets pairs of sort key and id, best first, the lowest id of equals; zeros where no token is left.
 * dispatch(rows).
 */
export function penalize(gpu: Gpu, vocab: number) {
  const chunks = chunksOf(vocab);
  return compileKernel(
    gpu,
    source,
    { VOCAB: vocab, CHUNKS: chunks },
    (rows: number) => [chunks, rows],
  );
}

export function writePenalties(view: DataView, row: number, penalties: Penalties): void {
  const at = row * PENALTIES_BYTES;
  view.setUint32(at, penalties.slot, true);
  view.setFloat32(at + 4, penalties.repetition, true);
  view.setFloat32(at + 8, penalties.frequency, true);
  view.setFloat32(at + 12, penalties.presence, true);
  view.setUint32(at + 16, penalties.wholeContext ? 1 : 0, true);
  view.setFloat32(at + 20, penalties.temperature, true);
  view.setUint32(at + 24, penalties.biased ? 1 : 0, true);
  view.setUint32(at + 28, penalties.wanted, true);
}

function writtenOut(code: string): string {
  const each = (text: (i: number) => string) => TOKENS.map(text).join("\n  ");
  const id = (i: number) => `first + ${i}u * THREADS`;
  const loads = (i: number) => `
  let in_row${i} = min(${id(i)}, VOCAB - 1u);
  let bits${i} = logits[row * VOCAB + in_row${i}];
  let count${i} = counts[penalties.slot * VOCAB + in_row${i}];`;
  const visits = (i: number) => `
  var key${i} = 0u;
  if (${id(i)} < VOCAB) {
    let seen = visit(row, ${id(i)}, bits${i}, count${i}, penalties);
    part = merge(part, seen.part, penalties.temperature);
    key${i} = seen.key;
  }`;
  const enter = (i: number) => `{ enter(key${i}, ${id(i)}); }`;
  return code
    .replace("//LOADS", each(loads))
    .replace("//VISITS", each(visits))
    .replace("/*KEYS*/", TOKENS.map((i) => `key${i}`).reduce((a, b) => `max(${a}, ${b})`))
    .replace("//ABOVE", each((i) => `if (key${i} > least) ${enter(i)}`))
    .replace("//EQUAL", each((i) => `if (key${i} == least && least > 0u) ${enter(i)}`));
}
