/**
 * What the bench measures, and how often.
 *
 * Knows the contexts and lengths that figures are quoted for, and cuts them to what a model can
 * hold. Measures nothing.
 */
import type { Sampling } from "../../model/engine.ts";

export interface Plan {
  /** Tokens before the answer that decoding is timed in, ascending. */
  contexts: number[];
  /** Tokens of the prompts whose prefill is timed, ascending. */
  lengths: number[];
  /** Tokens of an answer. */
  tokens: number;
  /** Tokens of the prompt that is sent over HTTP. */
  httpPrompt: number;
  /** Measurements of each figure, after the clocks were warmed up. */
  runs: number;
  /** Milliseconds of work that warms the clocks up. */
  warmUp: number;
}

const FULL: Plan = {
  contexts: [128, 1024, 1900],
  lengths: [35, 512, 2048],
  tokens: 128,
  httpPrompt: 35,
  runs: 7,
  warmUp: 700,
};

/** Enough to see that every figure can be taken; what it says of speed is nothing. */
const SHORT: Plan = {
  contexts: [8, 40],
  lengths: [8, 35],
  tokens: 10,
  httpPrompt: 12,
  runs: 1,
  warmUp: 0,
};

/**
 * @param maxPositions of the longest prompt and answer
 * @throws {RangeError} for a model that holds no prompt beside an answer
 */
export function planFor(maxPositions: number, isShort: boolean): Plan {
  const plan = isShort ? SHORT : FULL;
  const most = maxPositions - plan.tokens;
  if (most < 1) {
    throw new RangeError(
      `The bench needs ${plan.tokens + 1} positions, the model has ${maxPositions}.`,
    );
  }
  return {
    ...plan,
    contexts: cut(plan.contexts, most),
    lengths: cut(plan.lengths, maxPositions - 1),
    httpPrompt: Math.min(plan.httpPrompt, most),
  };
}

function cut(lengths: number[], most: number): number[] {
  return [...new Set(lengths.map((length) => Math.min(length, most)))];
}

/** How a token is chosen while decoding is timed: what chats use, penalties and truncation on. */
export const SAMPLING: Partial<Sampling> = {
  temperature: 0.7,
  topK: 40,
  topP: 0.95,
  repetitionPenalty: 1.1,
};
