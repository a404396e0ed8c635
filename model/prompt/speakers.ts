/**
 * Who speaks: names that were left out, who answers, and what each is called in a format.
 *
 * Knows names and their order. Knows no text of a turn: what somebody says never changes who
 * speaks.
 */
import { harmlessName } from "./escape.ts";
import { type Format, numbered, numberOf, PromptError, RULES } from "./format.ts";

export interface CastInput {
  /** Each turn's speaker, in order; undefined or blank where nobody is named. */
  speakers: readonly (string | undefined)[];
  format?: Format | undefined;
  /** Who answers; undefined: the other one of two; null: nobody, the dialogue is complete. */
  next?: string | null | undefined;
}

export interface Cast {
  format: Format;
  /** Each turn's speaker, as the caller calls them. */
  speakers: string[];
  next: string | null;
  /** What each speaker is called in the prompt, by first appearance. */
  labels: Map<string, string>;
}

/** @throws {PromptError} if the format cannot hold these speakers, or it is open who answers */
export function castOf(input: CastInput): Cast {
  const given = input.speakers.map((name) => cleanOrNone(name));
  const next = input.next === null ? null : cleanOrNone(input.next);
  const format = input.format ?? guessFormat(given, next);
  const known = distinct([...given, next]);

  const sequence = format === "monologue"
    ? [...given, next].map((name) => name === undefined ? known[0] ?? numbered(1) : name)
    : fillIn([...given, next], known, format);
  const speakers = sequence.slice(0, -1) as string[];
  const answering = sequence.at(-1)!;
  const everybody = distinct(sequence);
  checkCount(everybody, format);
  if (format === "dash" && answering !== null && answering === speakers.at(-1)) {
    throw new PromptError(
      `in the dash format speakers take turns: \`next\` should be the one who did not speak last`,
    );
  }
  return { format, speakers, next: answering, labels: labelsOf(everybody, format) };
}

/** Names that nobody gave have to be found: by turns, as there can only be two speakers. */
function fillIn(
  sequence: (string | null | undefined)[],
  known: string[],
  format: Format,
): (string | null)[] {
  const missing = sequence.indexOf(undefined);
  if (missing < 0) return sequence as (string | null)[];
  const where = missing === sequence.length - 1 ? "`next`" : `\`turns.${missing}.speaker\``;
  if (known.length > 2) {
    throw new PromptError(`${where} should be given, as there are ${known.length} speakers`);
  }
  if (format === "named" && known.length < 2) {
    throw new PromptError(`${where} should be given: the named format has no speaker without one`);
  }
  const [one, other] = twoOf(known);
  const opposite = (name: string) => name === one ? other : one;

  const filled = [...sequence];
  const anchor = filled.findIndex((name) => typeof name === "string");
  if (anchor < 0) filled[0] = one;
  for (let i = anchor - 1; i >= 0; i--) filled[i] = opposite(filled[i + 1]!);
  for (let i = 1; i < filled.length; i++) {
    if (filled[i] === undefined) filled[i] = opposite(filled[i - 1]!);
  }
  return filled as (string | null)[];
}

/** The speakers known, and as many without a name as make two. */
function twoOf(known: readonly string[]): [string, string] {
  const two = [...known];
  for (let number = known.length + 1; two.length < 2; number++) {
    if (!two.includes(numbered(number))) two.push(numbered(number));
  }
  return two as [string, string];
}

/** One turn of nobody is a monologue, names left out are dashes, and names decide the rest. */
function guessFormat(given: (string | undefined)[], next: string | null | undefined): Format {
  const names = distinct([...given, next]);
  if (names.length === 0) return given.length <= 1 ? "monologue" : "dash";
  if (given.includes(undefined)) return "dash";
  return names.every((name) => numberOf(name) !== undefined) ? "intervenant" : "named";
}

export function checkCount(everybody: string[], format: Format): void {
  const { maxSpeakers } = RULES[format];
  if (everybody.length <= maxSpeakers) return;
  throw new PromptError(
    `the ${format} format should have at most ${maxSpeakers} speaker${
      maxSpeakers === 1 ? "" : "s"
    }, found ${everybody.length}`,
  );
}

/**
 * What each of the speakers is called in a format, no two alike. Without names in the prompt they
 * are numbered by first appearance; in the intervenant format who has a number keeps it.
 */
export function labelsOf(everybody: readonly string[], format: Format): Map<string, string> {
  if (format === "named") return new Map(everybody.map((name) => [name, name]));
  const labels = new Map<string, string>();
  const taken = new Set<number>();
  const take = (name: string, number: number) => {
    labels.set(name, numbered(number));
    taken.add(number);
  };
  for (const name of everybody) {
    const number = format === "intervenant" ? numberOf(name) : undefined;
    if (number !== undefined && !taken.has(number)) take(name, number);
  }
  let lowest = 1;
  for (const name of everybody) {
    while (taken.has(lowest)) lowest++;
    if (!labels.has(name)) take(name, lowest);
  }
  return new Map(everybody.map((name) => [name, labels.get(name)!]));
}

function cleanOrNone(name: string | null | undefined): string | undefined {
  return name == null ? undefined : harmlessName(name) || undefined;
}

function distinct(names: readonly (string | null | undefined)[]): string[] {
  return [...new Set(names.filter((name) => typeof name === "string"))];
}
