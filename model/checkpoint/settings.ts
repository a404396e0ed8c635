/**
 * A JSON settings file, read key by key with the type that each key must have.
 *
 * Knows that a key may have older names, that null means absent (as for Hugging Face), and that two
 * names which contradict each other are an error. Knows no key.
 */

import { oneOf, quote, wrong } from "./report.ts";

/** The largest whole number a setting may hold: it must fit a GPU's 32-bit integers. */
const LARGEST = 0x7fffffff;

export class Settings {
  readonly #values: Map<string, unknown>;

  /**
   * @param json what JSON.parse gave
   * @param file names the place in errors
   * @throws {CheckpointError} unless `json` is an object
   */
  constructor(json: unknown, readonly file: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw wrong(file, "the content", "a JSON object", quote(json));
    }
    this.#values = new Map(Object.entries(json));
  }

  /** Whether the key is there at all, null included. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  entries(): [string, unknown][] {
    return [...this.#values];
  }

  /** The raw value under the first of `names` that is present and not null. */
  value(...names: string[]): unknown {
    const present = names.filter((name) => (this.#values.get(name) ?? null) !== null);
    const [first, ...others] = present;
    if (first === undefined) return undefined;
    const value = this.#values.get(first);
    for (const other of others) {
      const rival = this.#values.get(other);
      if (rival !== value) {
        throw this.#wrong([other], `${quote(value)} like ${quote(first)}`, rival);
      }
    }
    return value;
  }

  /** @throws {CheckpointError} when the value is neither true nor false */
  boolean(...names: string[]): boolean | undefined {
    const value = this.value(...names);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.#wrong(names, "true or false", value);
  }

  /** @throws {CheckpointError} when the value is no string */
  text(...names: string[]): string | undefined {
    const value = this.value(...names);
    if (value === undefined || typeof value === "string") return value;
    throw this.#wrong(names, "a string", value);
  }

  /** @throws {CheckpointError} when the value is no finite number above 0 */
  positive(...names: string[]): number | undefined {
    const value = this.value(...names);
    if (value === undefined) return value;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw this.#wrong(names, "a number above 0", value);
  }

  /** @throws {CheckpointError} when the value is no whole number from `least` to 2^31 - 1 */
  whole(least: number, ...names: string[]): number | undefined {
    const value = this.value(...names);
    if (value === undefined) return value;
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= LARGEST) {
      return Number(value);
    }
    throw this.#wrong(names, `a whole number from ${least} to ${LARGEST}`, value);
  }

  /** The object under `name`, as settings of its own. */
  object(name: string): Settings | undefined {
    const value = this.value(name);
    return value === undefined ? undefined : new Settings(value, `${this.file} (${name})`);
  }

  /**
   * Refuses every value but the allowed ones; an absent key passes.
   *
   * @param reason what Clairon cannot do, for the sentence
   * @throws {CheckpointError} naming the key
   */
  allow(name: string, allowed: readonly unknown[], reason: string): void {
    const value = this.value(name);
    if (value === undefined || allowed.includes(value)) return;
    throw this.#wrong([name], `${oneOf(allowed)} (${reason})`, value);
  }

  #wrong(names: string[], expected: string, value: unknown) {
    const name = names.find((each) => this.has(each)) ?? names[0];
    return wrong(this.file, quote(name), expected, quote(value));
  }
}
