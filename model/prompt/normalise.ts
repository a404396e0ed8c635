/**
 * Writes a text as Claire's training text was written.
 *
 * Knows characters, blanks and the marks of turns, which it keeps whatever the format. Knows no
 * dialogue: it takes a turn's text or a whole transcript. Sources: the text preparation and the
 * endpoint handler of OpenLLM-France/Lit-Claire; blanks, dashes and line breaks that those leave
 * alone are treated in the same way here.
 */
import { LINE_BREAK, SILENCE } from "./escape.ts";
import { numbered, numberOf, readName, TAG } from "./format.ts";

export interface NormaliseOptions {
  /** As speech recognition writes: lower case and no punctuation. Claire was trained on this too. */
  asr?: boolean | undefined;
}

/** Replaced in this order, before a text is cut into lines. */
const CHARACTERS: [RegExp, string][] = [
  [new RegExp(`\\r\\n|${LINE_BREAK.source}`, "g"), "\n"],
  // Control characters, and marks that no eye sees; joiners stay, for emoji are made with them.
  [/(?![\n\t])\p{Cc}|[\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu, ""],
  [/[\t\p{Zs}]+/gu, " "],
  [/ᵉʳ/g, "er"],
  [/ᵉ/g, "e"],
];

/** Replaced in this order, in the text of a line. */
const PUNCTUATION: [RegExp, string][] = [
  [/…/g, "..."],
  [/[’‘‛ʿ]/g, "'"],
  [/‚/g, ","],
  [/``|''/g, '"'],
  [/[«“„] ?/g, '"'],
  [/ ?[»”″]/g, '"'],
  [/[‐‑‒–—―]/g, "-"],
  [/ +/g, " "],
  [/(?<=[\p{L}\p{N}_]) (?=[.,])/gu, ""],
];

const SPOKEN: [RegExp, string][] = [
  [/[,;.!?]/g, ""],
  [/:+(?= |$)/g, ""],
  [/ +/g, " "],
];

const TAGS = new RegExp(TAG, "g");
/** The mark of a turn with the blanks around it, in any way that a dash can be written. */
const MARK = new RegExp(`^ *(?:${TAG.source}|[-‐‑‒–—―](?![-‐‑‒–—―\\d])) *`);

/**
 * Composed characters (NFC), straight quotes, three dots, plain dashes, blanks and line breaks; no
 * control characters; `[speaker001:]` and its like as `[Intervenant 1:]`; a turn a line. A turn's
 * mark stays its mark, and a turn that had something to say keeps at least "...". Applying it again
 * changes nothing.
 */
export function normaliseText(text: string, { asr = false }: NormaliseOptions = {}): string {
  const plain = replaceAll(text.toWellFormed(), CHARACTERS).normalize("NFC");
  return plain.replace(TAGS, "\n$&").split("\n")
    .map((line) => normaliseLine(line, asr))
    .filter((line) => line !== "")
    .join("\n");
}

function normaliseLine(line: string, asr: boolean): string {
  const [leading = "", name] = MARK.exec(line) ?? [];
  const said = line.slice(leading.length).trim();
  let text = replaceAll(said, PUNCTUATION).trim();
  if (asr) text = replaceAll(text.toLowerCase(), SPOKEN).trim();
  text = text.normalize("NFC");
  if (leading === "") return text;
  const mark = name === undefined ? "-" : `[${label(readName(name))}:]`;
  return said === "" ? mark : `${mark} ${text || SILENCE}`;
}

function label(name: string): string {
  const number = numberOf(name);
  return number === undefined ? name : numbered(number);
}

function replaceAll(text: string, rules: readonly [RegExp, string][]): string {
  return rules.reduce((changed, [pattern, by]) => changed.replace(pattern, by), text);
}
