/**
 * The JSON of a safetensors header, read more strictly than JSON.parse does.
 *
 * Knows the part of JSON that such a header can hold: objects, lists, strings and whole numbers from
 * 0 up. Objects become Maps, so that a tensor may be called `__proto__`, and a key given twice is
 * refused, because readers disagree on which one counts. Knows no key.
 */

import { quote } from "./report.ts";

export type HeaderValue = string | number | HeaderValue[] | Map<string, HeaderValue>;

/** A header needs three levels: its own object, a tensor's, and a tensor's shape. */
const DEEPEST = 8;
const WHITE_SPACE = new Set<string | undefined>([" ", "\t", "\r", "\n"]);

/**
 * @throws {SyntaxError} where, what was expected, and what was found
 */
export function parseHeaderJson(text: string): HeaderValue {
  return new HeaderParser(text).parse();
}

class HeaderParser {
  readonly #text: string;
  /** The next character to read, in UTF-16 units. */
  #at = 0;
  /** Keys of the objects we are in, for messages. */
  readonly #path: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  parse(): HeaderValue {
    const value = this.#value(0);
    if (this.#peek() !== undefined) this.#fail("the end of the header");
    return value;
  }

  #value(depth: number): HeaderValue {
    if (depth > DEEPEST) this.#fail(`at most ${DEEPEST} levels of nesting`);
    const next = this.#peek();
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#list(depth);
    if (next === '"') return this.#string();
    return this.#wholeNumber();
  }

  #object(depth: number): Map<string, HeaderValue> {
    const object = new Map<string, HeaderValue>();
    this.#expect("{");
    if (this.#skip("}")) return object;
    do {
      if (this.#peek() !== '"') this.#fail("a key in quotes");
      const key = this.#string();
      if (object.has(key)) this.#fail("each key once", `${quote(key)} twice`);
      this.#expect(":");
      this.#path.push(key);
      object.set(key, this.#value(depth + 1));
      this.#path.pop();
    } while (this.#skip(","));
    this.#expect("}");
    return object;
  }

  #list(depth: number): HeaderValue[] {
    const list: HeaderValue[] = [];
    this.#expect("[");
    if (this.#skip("]")) return list;
    do list.push(this.#value(depth + 1)); while (this.#skip(","));
    this.#expect("]");
    return list;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') {
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    const literal = this.#text.slice(start, end + 1);
    const value = parseString(literal);
    if (value === undefined) this.#fail("a well-formed string", quote(literal));
    this.#at = end + 1;
    return value;
  }

  #wholeNumber(): number {
    const pattern = /[-+\w.]{1,40}/y;
    pattern.lastIndex = this.#at;
    const literal = pattern.exec(this.#text)?.[0];
    if (literal === undefined) this.#fail("a value");
    const value = /^(0|[1-9]\d{0,15})$/.test(literal) ? Number(literal) : NaN;
    if (!Number.isSafeInteger(value)) {
      this.#fail("a whole number from 0 to 2^53 - 1", quote(literal));
    }
    this.#at += literal.length;
    return value;
  }

  /** The next character that is no white space, without taking it. */
  #peek(): string | undefined {
    while (WHITE_SPACE.has(this.#text[this.#at])) this.#at++;
    return this.#text[this.#at];
  }

  #skip(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#skip(character)) this.#fail(quote(character));
  }

  #fail(expected: string, found?: string): never {
    const next = this.#text[this.#at];
    const place = this.#path.map(quote).join(", ");
    throw new SyntaxError(
      `${place === "" ? "" : `in ${place} `}at character ${this.#at} should be ${expected}, found ${
        found ?? (next === undefined ? "the end of the text" : quote(next))
      }`,
    );
  }
}

/** The value of a JSON string literal; undefined for bad escapes and lone surrogates. */
function parseString(literal: string): string | undefined {
  try {
    const value: unknown = JSON.parse(literal);
    return typeof value === "string" && value.isWellFormed() ? value : undefined;
  } catch {
    return undefined;
  }
}
