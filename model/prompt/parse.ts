/**
 * From text to turns: which of the four formats it is in, who speaks, and what they say.
 *
 * Knows the marks of turns, wherever the formats allow them. Knows nothing of who wrote the text;
 * `turn_parser.ts` reads the same formats while they are being generated.
 */
import { DASH_MARK, type Format, numbered, numberOf, readName, TAG, type Turn } from "./format.ts";

export interface ParsedPrompt {
  format: Format;
  /** By first appearance; `next` is one of them. Those without names are "Intervenant 1" and 2. */
  speakers: string[];
  /** None without text. */
  turns: Turn[];
  /** Whose turn is opened at the end of the text, nothing said yet; null if the last one is whole. */
  next: string | null;
}

/**
 * The first line decides: a tag means tags (numbered speakers only: "intervenant"), a dash means
 * dashes, anything else a monologue. A line without its mark is another turn of the same speaker.
 * On what `buildPrompt` writes, this is its inverse.
 */
export function parsePrompt(text: string): ParsedPrompt {
  const lines = text.toWellFormed().split("\n").map((line) => line.trim()).filter(Boolean);
  const first = lines[0] ?? "";
  if (first.search(TAG) === 0) return tagged(lines);
  const reader = new Reader();
  if (!DASH_MARK.test(first)) {
    reader.speaker = numbered(1);
    lines.forEach((line) => reader.say(line));
    return { format: "monologue", ...reader.result() };
  }
  let marks = 0;
  for (const line of lines) {
    const marked = DASH_MARK.test(line);
    if (marked) reader.open(numbered(1 + marks++ % 2));
    reader.say(marked ? line.slice(1) : line);
  }
  return { format: "dash", ...reader.result() };
}

function tagged(lines: readonly string[]): ParsedPrompt {
  const reader = new Reader();
  const names: string[] = [];
  for (const line of lines) {
    // Text and names by turns, text first.
    line.split(TAG).forEach((part, i) => {
      if (i % 2 === 0) return reader.say(part);
      names.push(readName(part));
      reader.open(names.at(-1)!);
    });
  }
  const anonymous = names.every((name) => {
    const number = numberOf(name);
    return number !== undefined && name === numbered(number);
  });
  return { format: anonymous ? "intervenant" : "named", ...reader.result() };
}

/** Collects turns; those without text are left out. */
class Reader {
  speaker = "";
  #turns: Turn[] = [];
  #opened = false;

  open(speaker: string): void {
    this.speaker = speaker;
    this.#opened = true;
  }

  say(text: string): void {
    const said = text.trim();
    if (said === "") return;
    this.#turns.push({ speaker: this.speaker, text: said });
    this.#opened = false;
  }

  result(): Omit<ParsedPrompt, "format"> {
    const next = this.#opened ? this.speaker : null;
    const everybody = [...this.#turns.map(({ speaker }) => speaker), ...(next ? [next] : [])];
    return { speakers: [...new Set(everybody)], turns: this.#turns, next };
  }
}
