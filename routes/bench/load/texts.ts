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

export class Texts {
  readonly #lengths = new Map<number, number>();

  private constructor(
    private readonly count: TokenCount,
    private readonly perWord: number,
    private readonly added: number,
  ) {}

  /** @param few tokens of a text of `FEW` words, if that is known */
  static async measure(count: TokenCount, few: number | undefined): Promise<Texts> {
    const many = few === undefined ? undefined : await count(words(MANY));
    if (few === undefined || many === undefined) return new Texts(count, TOKENS_PER_WORD, 0);
    const perWord = (many - few) / (MANY - FEW);
    return new Texts(count, perWord, few - perWord * FEW);
  }

  /** Makes prompts of so many tokens; no two begin alike. Only the first of a length is counted. */
  async of(tokens: number): Promise<() => string> {
    const length = this.#lengths.get(tokens) ?? await this.#find(tokens);
    this.#lengths.set(tokens, length);
    return () => words(length);
  }

  /** About so many tokens to be added to a prompt. */
  more(tokens: number): string {
    return words(this.#words(tokens));
  }

  async #find(tokens: number): Promise<number> {
    let length = this.#words(tokens - this.added);
    for (let tries = 0; tries < TRIES; tries++) {
      const found = await this.count(words(length));
      if (found === undefined || Math.abs(found - tokens) <= TOLERANCE * tokens) break;
      const next = this.#words(length * this.perWord + tokens - found);
      if (next === length) break;
      length = next;
    }
    return length;
  }

  #words(tokens: number): number {
    return Math.max(1, Math.round(tokens / this.perWord));
  }
}
