/**
 * What the scheduler hands out and is held to: a step, its limits, where keys and values are kept,
 * and who hears what becomes of requests.
 *
 * Knows the words that the scheduler, the runner and the worker share; takes no decision.
 */
import type { LogitBias, TokenEvent } from "./engine.ts";
import type { NewSequence } from "./kv_cache.ts";
import type { SampleRow } from "./sample_row.ts";
import type { Row } from "./state.ts";

/** One step: the rows to compute, and for some of them a token to sample. */
export interface Plan {
  rows: Row[];
  /** Rows whose logits are wanted; `samples[i]` says what to do with those of `picks[i]`. */
  picks: number[];
  samples: SampleRow[];
  /**
   * Steps that follow at once, each with the token that the one before chose: only where the step
   * is the one row of one sequence that decodes.
   */
  chain: SampleRow[];
  /** Sequences that start in this step: their slot remembers something else. */
  starts: { slot: number; prompt: readonly number[]; logitBias: readonly LogitBias[] }[];
}

export interface SchedulerLimits {
  /** Sequences computed together. */
  slots: number;
  /** Rows of one step. */
  maxRows: number;
  /** Rows of one step that may ask for logits. */
  maxPicks: number;
  /** Tokens of an answer that are guessed from what was said before and verified in one step. */
  guesses?: number;
}

/** Where sequences keep their keys and values; `KvCache` is one, and says what each does. */
export interface BlockPool {
  begin(slot: number, sequence: NewSequence): number | undefined;
  keep(slot: number, tokens: readonly number[], count: number, settled: boolean): void;
  forget(slot: number): void;
  release(slot: number): void;
}

/** Is told what becomes of requests. */
export interface Listener {
  onEvent(id: number, event: TokenEvent): void;
  /** The request has left the queue; its first rows are in the step that is planned. */
  onBegin?(id: number): void;
  /** The request is over: the model's numbers for it meant nothing (NaN, say). */
  onInvalid(id: number): void;
}
