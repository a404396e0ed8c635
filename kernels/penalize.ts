/**
 * Biases of single tokens, penalties for those that occurred before; and a first look at the row.
 *
 * Knows the parameters of a row and their layout. Knows nothing of how a token is chosen.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { chunksOf, SAMPLING_STATE } from "./sampling_state.ts";
import code from "./penalize.wgsl" with { type: "text" };

const source = defineKernel({
  name: "penalize",
  code: SAMPLING_STATE + code,
  bindings: {
    rows: "read",
    logits: "read",
    counts: "read",
    biases: "read",
    scores: "read_write",
    parts: "read_write",
  },
});

export const PENALTIES_BYTES = 28;

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
}

/**
 * `scores[r, v]` = `logits[r, v]` with its bias and penalties, (rows, vocab) both; -infinity stays.
 * `parts` gets (rows, chunks) entries for `summarize`. dispatch(rows).
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
}
