/**
 * Makes a text harmless: whatever it holds, it stays inside its own turn.
 *
 * Knows what opens or ends a turn in any format, and takes it away: line breaks, square brackets,
 * leading dashes. Special tokens need no care here: the tokenizer spells them out as plain text.
 */
import { BLANKS, LINE_BREAK, MAX_NAME, PromptError, readName } from "./format.ts";

/** Blanks and dashes of every kind at the start of a line. */
const LEADING = /^[\s\p{Pd}]+/u;

/**
 * The text as one line without square brackets (round ones take their place), without a leading
 * dash and without blanks around it; a minus sign before a digit stays one, as U+2212. Lone
 * surrogates become U+FFFD. Applying it again changes nothing.
 */
export function harmless(text: string): string {
  const line = text.toWellFormed().replace(BLANKS, (run) => LINE_BREAK.test(run) ? " " : run);
  return roundBrackets(line).trim().replace(LEADING, (leading, _offset, whole: string) => {
    const minus = /\p{Pd}$/u.test(leading) && /^\p{Nd}/u.test(whole.slice(leading.length));
    return minus ? "\u2212" : "";
  });
}

/** What a turn without a word says. Claire's training text has no empty turn. */
export const SILENCE = "...";

export function harmlessTurn(text: string): string {
  return harmless(text) || SILENCE;
}

/**
 * A name that can stand in a tag, "" if nothing is left of it.
 *
 * @throws {PromptError} if it is too long to be read back as a name
 */
export function harmlessName(name: string): string {
  const clean = readName(roundBrackets(name.toWellFormed()));
  if (clean.length > MAX_NAME) {
    throw new PromptError(
      `a speaker's name should have at most ${MAX_NAME} characters, found ${clean.length}`,
    );
  }
  return clean;
}

function roundBrackets(text: string): string {
  return text.replaceAll("[", "(").replaceAll("]", ")");
}
