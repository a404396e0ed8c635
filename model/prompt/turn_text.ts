/**
 * The text of one turn while it is generated: what of it may be shown already.
 *
 * Knows what may still be taken back: blanks that end the turn, half a character, and, when it
 * tidies, a sentence that is not finished. Knows no mark and no speaker.
 */
import { wholeSentences } from "./sentence.ts";

export class TurnText {
  #released = "";
  #held = "";
  #isEmpty: boolean;

  /** @param begun what was said before, and is not said again */
  constructor(begun = "") {
    this.#released = begun;
    this.#isEmpty = begun === "";
  }

  /** Whether nothing was said yet. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  add(text: string): void {
    this.#held += text;
    if (this.#isEmpty) this.#isEmpty = text.trim() === "";
  }

  /** Forgets what is held. */
  clear(): void {
    this.#held = "";
  }

  /**
   * What is certain since the call before.
   *
   * @param tidy hold a sentence until it is finished
   */
  release(tidy: boolean): string {
    if (tidy) return this.#take(wholeSentences(this.#released + this.#held, false));
    const halfCharacter = /[\ud800-\udbff]$/.test(this.#held);
    const held = halfCharacter ? this.#held.slice(0, -1) : this.#held.trimEnd();
    return this.#take(this.#released.length + held.length);
  }

  /** The rest of the turn, which has ended. */
  end(): string {
    return this.#take(this.#released.length + this.#held.trimEnd().length);
  }

  /**
   * The rest of a turn that was cut off, without the sentence that is not finished. If a part of
   * that is out already, or nothing else was said, the sentence stays.
   *
   * @param droppable whether the turn may come to nothing
   */
  cut(droppable: boolean): string {
    const whole = wholeSentences(this.#released + this.#held.trimEnd(), true);
    const stays = whole < this.#released.length || (whole === 0 && !droppable);
    return stays ? this.end() : this.#take(whole);
  }

  #take(length: number): string {
    const count = Math.max(0, length - this.#released.length);
    const text = this.#held.slice(0, count);
    this.#held = this.#held.slice(count);
    this.#released += text;
    return text.toWellFormed();
  }
}
