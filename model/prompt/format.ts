/**
 * The four formats of a dialogue that Claire was trained on, in one table.
 *
 * Knows how a turn is written, how the next one is opened and what ends one. Knows nothing of who
 * speaks when. A turn is one line; everything else about the formats follows from this table.
 * Source: the model card of OpenLLM-France/Claire-7B-0.1, and how its training text was prepared.
 */

export const FORMATS = ["monologue", "dash", "intervenant", "named"] as const;
export type Format = (typeof FORMATS)[number];

/** One line of a dialogue. */
export interface Turn {
  speaker: string;
  text: string;
}

interface Rules {
  /** What stands before a turn's text, a space between. Alone at the end, it opens a turn. */
  mark(label: string): string;
  /** What ends a turn in generated text, wherever it appears. */
  stop: readonly string[];
  maxSpeakers: number;
}

export const RULES: Readonly<Record<Format, Rules>> = {
  monologue: { mark: () => "", stop: ["\n"], maxSpeakers: 1 },
  dash: { mark: () => "-", stop: ["\n"], maxSpeakers: 2 },
  intervenant: { mark: bracketed, stop: ["\n", "["], maxSpeakers: Infinity },
  named: { mark: bracketed, stop: ["\n", "["], maxSpeakers: Infinity },
};

function bracketed(label: string): string {
  return `[${label}:]`;
}

/** Whether turns are marked by tags. */
export function hasTags(format: Format): boolean {
  return format === "intervenant" || format === "named";
}

/** UTF-16 code units of a speaker's name: a longer bracket is no tag. */
export const MAX_NAME = 100;

/** All that some reader takes for the end of a line. */
// deno-lint-ignore no-control-regex
export const LINE_BREAK = /[\n\v\f\r\x1c-\x1f\x85\u2028\u2029]/;

/** Runs of blanks and line breaks. */
// deno-lint-ignore no-control-regex
export const BLANKS = /[\s\x1c-\x1f\x85]+/g;

/** A tag; its group is the name, of which something is left without blanks. */
export const TAG = new RegExp(
  `\\[(?!(?:${BLANKS.source})?:\\])([^\\[\\]\\n]{1,${MAX_NAME}}):\\]`,
);

/** A dash that marks a turn, at the start of a line: no minus sign and no rule of dashes. */
export const DASH_MARK = /^-(?![-\d])/;

/** A name as it is compared: without blanks around it, and one where there were several. */
export function readName(inTag: string): string {
  return inTag.replace(BLANKS, " ").trim();
}

/** What somebody without a name is called, from 1. */
export function numbered(number: number): string {
  return `Intervenant ${number}`;
}

const NUMBERED = /^(?:(?:intervenant|locuteur|speaker|spk)[ _-]*)?0*(\d{1,6})$/i;

/** The number in a name that is one: of "speaker001", "Locuteur 2", "3"; else undefined. */
export function numberOf(name: string): number | undefined {
  const digits = NUMBERED.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** A dialogue that a format cannot hold; the message is fit for a client. */
export class PromptError extends Error {
  override name = "PromptError";
}
