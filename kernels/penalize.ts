/**
 * Penalties for tokens that occurred before; and a first look at the whole row.
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
    scores: "read_write",
    parts: "read_write",
  },
});

export const PENALTIES_BYTES = 24;

export interface Penalties {
  /** Row of `counts` that holds the occurrences. */
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
}

/**
 * `scores[r, v]` = penalised `logits[r, v]`, (rows, vocab) both; -infinity stays. `parts` gets
 * (rows, chunks) entries for `summarize`. dispatch(rows).
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
}
