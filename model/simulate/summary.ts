/**
 * What is said of a simulated run: percentiles, shares and counts.
 *
 * Knows turns and times. Knows nothing of how they came about.
 */
import { percentile } from "../statistics.ts";
import type { Answered, Death, Outcome } from "./simulation.ts";

/** Turns asked so long before and after a death are compared. */
export const DEATH_WINDOW_SECONDS = 60;

/** Of turns; a figure is null where there was none to take it from. */
export interface TurnFigures {
  turns: number;
  /** From asking to the first token at the client, milliseconds. */
  ttft_ms: { p50: number; p99: number } | null;
  /** Tokens a second of one answer after its first; `p1`: 99 of 100 answers are as fast. */
  stream_tok_s: { p50: number; p1: number } | null;
  /** Tokens that the cache had, of those that an endless cache would have had. */
  cache_hit_rate: number | null;
  /** Tokens that the cache had, of all tokens of prompts. */
  prompt_tokens_saved: number | null;
}

export interface Summary extends TurnFigures {
  gpu_busy: { mean: number; least: number; most: number };
  counts: {
    dialogues: number;
    asked: number;
    finished: number;
    broken: number;
    refused: number;
    in_flight: number;
    retried: number;
  };
  death: { before: TurnFigures; after: TurnFigures } | null;
}

interface Basis {
  blockTokens: number;
  overheadMilliseconds: number;
  death?: Death | undefined;
}

export function summarise({ answered, counts, busy }: Outcome, basis: Basis): Summary {
  const { inFlight, ...others } = counts;
  const asked = (from: number, to: number) =>
    turnFigures(answered.filter(({ askedAt }) => from <= askedAt && askedAt < to), basis);
  const at = basis.death?.at;
  return {
    ...turnFigures(answered, basis),
    gpu_busy: {
      mean: busy.reduce((sum, share) => sum + share, 0) / busy.length,
      least: Math.min(...busy),
      most: Math.max(...busy),
    },
    counts: { ...others, in_flight: inFlight },
    death: at === undefined ? null : {
      before: asked(at - DEATH_WINDOW_SECONDS, at),
      after: asked(at, at + DEATH_WINDOW_SECONDS),
    },
  };
}

function turnFigures(turns: readonly Answered[], basis: Basis): TurnFigures {
  const { blockTokens, overheadMilliseconds } = basis;
  const waits = turns.map(({ askedAt, firstTokenAt }) =>
    (firstTokenAt - askedAt) * 1000 + overheadMilliseconds
  );
  const paces = turns.filter(({ answerTokens }) => answerTokens > 1)
    .map(({ answerTokens, firstTokenAt, finishedAt }) =>
      (answerTokens - 1) / (finishedAt - firstTokenAt)
    );
  const sum = (value: (turn: Answered) => number) =>
    turns.reduce((total, turn) => total + value(turn), 0);
  const cached = sum(({ cachedTokens }) => cachedTokens);
  // Whole blocks alone are shared.
  const known = sum(({ knownTokens }) => Math.floor(knownTokens / blockTokens) * blockTokens);
  const prompts = sum(({ promptTokens }) => promptTokens);
  return {
    turns: turns.length,
    ttft_ms: waits.length === 0 ? null : { p50: percentile(waits, 50), p99: percentile(waits, 99) },
    stream_tok_s: paces.length === 0
      ? null
      : { p50: percentile(paces, 50), p1: percentile(paces, 1) },
    cache_hit_rate: known === 0 ? null : cached / known,
    prompt_tokens_saved: prompts === 0 ? null : cached / prompts,
  };
}
