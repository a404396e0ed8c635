/**
 * Texts of a given number of tokens, for a server whose tokenizer is not known.
 *
 * Knows that texts of one length in words have one length in tokens, and how to find the length in
 * words with a few questions. Knows no server: it is told who counts.
 */
import { ROUND, words } from "./words.ts";

/** Words of the first two texts that are counted. */
export const FEW = ROUND;
const MANY = 3 * ROUND;
/** Where nobody counts: about what byte-level BPE makes of French. */
const TOKENS_PER_WORD = 1.6;
/** Share of its length by which a text may be off; closer than that words may not come. */
const TOLERANCE = 0.01;
const TRIES = 6;

/** Tokens of a prompt with that text, whatever the API adds included; undefined if it cannot tell. */
export type TokenCount = (text: string) => Promise<number | undefined>;

/** A text's length in words and in tokens. */
interface Counted {
  length: number;
  tokens: number;
}

export class Texts {
  readonly #lengths = new Map<number, number>();

  private constructor(
    private readonly count: TokenCount,
    private readonly counted: Counted,
    private readonly perWord: number,
  ) {}

  /** @param few tokens of a text of `FEW` words, if that is known */
  static async measure(count: TokenCount, few: number | undefined): Promise<Texts> {
    const many = few === undefined ? undefined : await count(words(MANY));
    const perWord = (many! - few!) / (MANY - FEW);
    // A count that does not grow is none.
    if (perWord > 0) return new Texts(count, { length: MANY, tokens: many! }, perWord);
    const nobody = () => Promise.resolve(undefined);
    return new Texts(nobody, { length: 0, tokens: 0 }, TOKENS_PER_WORD);
  }

  /** Makes prompts of so many tokens; no two begin alike. Only the first of a length is counted. */
  async of(tokens: number): Promise<() => string> {
    const length = this.#lengths.get(tokens) ?? await this.#find(tokens);
    this.#lengths.set(tokens, length);
    return () => words(length);
  }

  /** About so many tokens to be added to a prompt. */
  more(tokens: number): string {
    return words(wordsFor(tokens / this.perWord));
  }

  /** By secants through the last two texts that were counted. */
  async #find(tokens: number): Promise<number> {
    let { counted: last, perWord } = this;
    let length = wordsFor(last.length + (tokens - last.tokens) / perWord);
    for (let tries = 0; tries < TRIES; tries++) {
      const found = await this.count(words(length));
      if (found === undefined || Math.abs(found - tokens) <= TOLERANCE * tokens) break;
      const slope = (found - last.tokens) / (length - last.length);
      if (slope > 0 && slope < Infinity) perWord = slope;
      last = { length, tokens: found };
      const next = wordsFor(length + (tokens - found) / perWord);
      if (next === length) break;
      length = next;
    }
    return length;
  }
}

function wordsFor(length: number): number {
  return Math.max(1, Math.round(length));
}
