/**
 * Guesses of what comes next, found in the dialogue itself: whoever repeats three tokens may well
 * repeat what followed them.
 *
 * Knows token ids. Knows nothing of how a guess is verified.
 */
import type { Sampling } from "./engine.ts";

/** Tokens that must agree before a guess: the more, the fewer and the better. */
const LONGEST_MATCH = 3;
const SHORTEST_MATCH = 2;

/**
 * What followed the last tokens where they stood before, the latest place first, at most `most`
 * tokens; none where they are new.
 */
export function lookUp(tokens: readonly number[], most: number): number[] {
  if (most <= 0) return [];
  for (let length = LONGEST_MATCH; length >= SHORTEST_MATCH; length--) {
    const suffix = tokens.length - length;
    for (let start = suffix - 1; start >= 0; start--) {
      if (!sameTokens(tokens, start, suffix, length)) continue;
      return tokens.slice(start + length, start + length + most);
    }
  }
  return [];
}

function sameTokens(tokens: readonly number[], a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (tokens[a + i] !== tokens[b + i]) return false;
  return true;
}

/**
 * Whether a token's choice depends on the tokens before it through its logits alone: penalties would
 * have to know which guesses hold.
 */
export function canBeGuessed(sampling: Sampling): boolean {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
  return repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0;
}
