/**
 * The words of a checkpoint error: one sentence with the place, what was expected, what was found.
 *
 * Knows how to print a value taken from an untrusted file. Knows nothing of what is checked.
 */

import { CheckpointError } from "./error.ts";

/** Longer names and values are cut: a header may hold a name of many megabytes. */
const LONGEST_QUOTE = 120;

/** The error for `what` in `file`, as one sentence ready to be thrown. */
export function wrong(file: string, what: string, expected: string, found: string) {
  return new CheckpointError(`${file}: ${what} should be ${expected}, found ${found}.`);
}

/** A value from a file, printable: control and formatting characters escaped, long text cut. */
export function quote(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  const shown = value.length > LONGEST_QUOTE ? value.slice(0, LONGEST_QUOTE) + "…" : value;
  return JSON.stringify(shown).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Values in words: `4 or 8`, `"a", "b" or "c"`. */
export function oneOf(values: readonly unknown[]): string {
  const words = values.map(quote);
  const last = words.pop() ?? "nothing";
  return words.length === 0 ? last : `${words.join(", ")} or ${last}`;
}

/** A tensor's shape in paper notation, cut after eight dimensions. */
export function shapeText(shape: readonly number[]): string {
  return `(${shape.slice(0, 8).join(", ")}${shape.length > 8 ? ", …" : ""})`;
}

/** Why the system did not give us `path`. */
export function unreadable(path: string, error: unknown): CheckpointError {
  return wrong(path, "this", "there and readable", cause(error));
}

function cause(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "nothing";
  if (error instanceof Deno.errors.IsADirectory) return "a folder where a file is needed";
  const isRefused = error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable;
  if (isRefused) return "no permission for this process to read it";
  return `an error of the system: ${quote(error instanceof Error ? error.message : error)}`;
}
