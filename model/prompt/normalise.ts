/**
 * Writes a text as Claire's training text was written.
 *
 * Knows characters, blanks and the marks of turns, which it keeps whatever the format. Knows no
 * dialogue: it takes a turn's text or a whole transcript. Sources: the text preparation and the
 * endpoint handler of OpenLLM-France/Lit-Claire; blanks, dashes and line breaks that those leave
 * alone are treated in the same way here.
 */
import { SILENCE } from "./escape.ts";
import { LINE_BREAK, numbered, numberOf, readName, TAG } from "./format.ts";

export interface NormaliseOptions {
  /** As speech recognition writes: lower case and no punctuation. Claire was trained on this too. */
  asr?: boolean | undefined;
}

const BREAKS = new RegExp(`\\r\\n|${LINE_BREAK.source}`, "g");
/** Control characters, and marks that no eye sees; joiners stay, for emoji are made with them. */
const UNSEEN = /(?!\n)\p{Cc}|[\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu;
const LEADING_UNSEEN = new RegExp(`^(?:\\s|${UNSEEN.source})+`, "u");

/** Replaced in this order, in names and texts. No rule makes or takes a line break. */
const CHARACTERS: [RegExp, string][] = [
  [/[\t\p{Zs}]+/gu, " "],
  [UNSEEN, ""],
  [/ᵉʳ/g, "er"],
  [/ᵉ/g, "e"],
];

/** Replaced in this order, in texts. */
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

/** The same for what speech recognition writes, which is in lower case. */
const SPOKEN: [RegExp, string][] = [
  [/[,;.!?…‚]/g, ""],
  ...PUNCTUATION,
  [/:+(?= |$)/gm, ""],
  [/ +/g, " "],
];

const TAGS = new RegExp(TAG, "g");
/** The mark of a turn, in any way that a dash can be written. */
const MARK = new RegExp(`^(?:${TAG.source}|[-‐‑‒–—―](?![-‐‑‒–—―\\d]))`);

/**
 * Composed characters (NFC), straight quotes, three dots, plain dashes, blanks and line breaks; no
 * control characters; `[speaker001:]` and its like as `[Intervenant 1:]`; a turn a line. A turn's
 * mark stays its mark, and a turn that had something to say keeps at least "...". Applying it again
 * changes nothing.
 */
export function normaliseText(text: string, { asr = false }: NormaliseOptions = {}): string {
  const lines = text.toWellFormed().replace(BREAKS, "\n").replace(TAGS, "\n$&").split("\n")
    .map(readLine);
  // All lines at once: a rule costs more to begin than to apply.
  const texts = normaliseLines(lines.map(({ said }) => said).join("\n"), asr).split("\n");
  return lines.map(({ mark, said }, i) => {
    const text = texts[i]!.trim();
    return mark && said ? `${mark} ${text || SILENCE}` : mark + text;
  }).filter((line) => line !== "").join("\n");
}

/** A line's mark as it will be written, "" where it has none, and what is said in it. */
function readLine(line: string): { mark: string; said: string } {
  const seen = line.replace(LEADING_UNSEEN, "");
  const [mark = "", name] = MARK.exec(seen) ?? [];
  return {
    mark: mark && (name === undefined ? "-" : tag(name)),
    said: seen.slice(mark.length).trim(),
  };
}

function normaliseLines(said: string, asr: boolean): string {
  const composed = replaceAll(said, CHARACTERS).normalize("NFC");
  const text = asr ? replaceAll(composed.toLowerCase(), SPOKEN) : replaceAll(composed, PUNCTUATION);
  // Where something was taken away, what is left must not look like a mark.
  return text.replace(TAGS, "($1:)").replace(/^[- ]+(?!\d)/gm, "").normalize("NFC");
}

/** The tag of a name; "" if nothing is left of it. */
function tag(inTag: string): string {
  const name = readName(replaceAll(inTag, CHARACTERS).normalize("NFC"));
  const number = numberOf(name);
  return name && `[${number === undefined ? name : numbered(number)}:]`;
}

function replaceAll(text: string, rules: readonly [RegExp, string][]): string {
  return rules.reduce((changed, [pattern, by]) => changed.replace(pattern, by), text);
}
