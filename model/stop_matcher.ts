/**
 * Finds stop strings in a text that arrives in pieces.
 *
 * Knows literals and where they may begin and end: anywhere, inside a piece or across several.
 * Knows no tokens: it is fed the text that a detokeniser has made certain.
 */

export interface StopMatch {
  /** The stop string that was completed. */
  stop: string;
  /** Where it begins in the whole text, in UTF-16 code units. */
  index: number;
}

export interface StopStep {
  /** Text that no stop string can take back any more; all steps' texts make up the result. */
  text: string;
  /** Set once a stop string is complete. Nothing after it is part of the result. */
  stopped?: StopMatch;
}

export interface StopOptions {
  /** Keep the stop string at the end of the text (TGI) or cut it off too (OpenAI). */
  keep: boolean;
}

/** One stop string being matched; Knuth, Morris and Pratt's automaton, one state a character. */
interface Pattern {
  readonly stop: string;
  /** For each prefix, by its last position: the length of its longest proper prefix-suffix. */
  readonly borders: readonly number[];
  /** How many characters of `stop` the text seen so far ends with. */
  matched: number;
}

/**
 * The first stop string to be complete wins; of several that end together, the longest. So the
 * result does not depend on how the text was cut into pieces. Empty stop strings never match.
 */
export class StopMatcher {
  readonly #patterns: Pattern[];
  readonly #keep: boolean;
  /** Text that may be the beginning of a stop string to be cut off. */
  #held = "";
  /** Length of all text seen. */
  #seen = 0;
  #stopped: StopMatch | undefined;

  constructor(stops: readonly string[], options: StopOptions) {
    this.#keep = options.keep;
    this.#patterns = stops.filter((stop) => stop !== "").map((stop) => {
      // The text is well-formed: half a surrogate pair must not match half of a character.
      const wellFormed = stop.toWellFormed();
      return { stop: wellFormed, borders: borders(wellFormed), matched: 0 };
    });
  }

  /** Takes the next piece of text; after a match it takes nothing more. */
  push(text: string): StopStep {
    if (this.#patterns.length === 0) return { text };
    if (this.#stopped) return { text: "", stopped: this.#stopped };
    const pending = this.#held + text;
    const start = this.#seen - this.#held.length;
    for (const character of text.split("")) {
      this.#seen++;
      const stop = this.#advance(character);
      if (stop === undefined) continue;
      const index = this.#seen - stop.length;
      this.#stopped = { stop, index };
      this.#held = "";
      const end = this.#keep ? this.#seen : index;
      return { text: pending.slice(0, end - start), stopped: this.#stopped };
    }
    // A stop string that is kept takes nothing back, so nothing is held for it.
    const held = this.#keep ? 0 : Math.max(...this.#patterns.map((pattern) => pattern.matched));
    this.#held = pending.slice(pending.length - held);
    return { text: pending.slice(0, pending.length - held) };
  }

  /** Ends the text: what was held back after all belongs to it. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** Moves every pattern on by one character; the longest that is complete, if any. */
  #advance(character: string): string | undefined {
    let longest: string | undefined;
    for (const pattern of this.#patterns) {
      const { stop, borders } = pattern;
      let { matched } = pattern;
      while (matched > 0 && stop[matched] !== character) matched = borders[matched - 1]!;
      if (stop[matched] === character) matched++;
      pattern.matched = matched;
      if (matched === stop.length && stop.length > (longest?.length ?? 0)) longest = stop;
    }
    return longest;
  }
}

function borders(stop: string): number[] {
  const lengths = [0];
  for (let i = 1; i < stop.length; i++) {
    let length = lengths[i - 1]!;
    while (length > 0 && stop[i] !== stop[length]) length = lengths[length - 1]!;
    lengths.push(stop[i] === stop[length] ? length + 1 : 0);
  }
  return lengths;
}
