/**
 * A text's tokens and where each lies in it.
 *
 * Knows that tokens stand for bytes, and that a byte without a token is left out. Knows no HTTP.
 */
import type { Tokenizer } from "./tokenizer.ts";

export interface TokenSpan {
  id: number;
  /** The characters that the token lies in: whole ones, where it is part of one. */
  text: string;
  /** Where `text` begins and ends, in bytes of UTF-8. */
  start: number;
  stop: number;
}

const UTF8 = new TextEncoder();

export function tokenSpans(tokenizer: Tokenizer, text: string): TokenSpan[] {
  const bytes = UTF8.encode(text);
  const isInside = (at: number) => at < bytes.length && (bytes[at]! & 0xc0) === 0x80;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let at = 0;
  return tokenizer.encode(text).map((id) => {
    const own = tokenizer.bytes(id);
    // Bytes that no token stands for lie between two tokens.
    while (at < bytes.length && !startsWith(bytes, at, own)) at++;
    let start = at;
    at += own.length;
    let stop = at;
    while (start > 0 && isInside(start)) start--;
    while (isInside(stop)) stop++;
    return { id, text: decoder.decode(bytes.subarray(start, stop)), start, stop };
  });
}

function startsWith(bytes: Uint8Array, at: number, part: Uint8Array): boolean {
  return part.every((byte, i) => bytes[at + i] === byte);
}
