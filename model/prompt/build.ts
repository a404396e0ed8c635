/**
 * From turns to the text that Claire continues.
 *
 * Knows the layout of a prompt. A prompt never ends in a blank or a line break: the model writes
 * the space after a mark itself, as it learned to.
 */
import { harmless, harmlessTurn } from "./escape.ts";
import { type Format, RULES, type Turn } from "./format.ts";
import { castOf } from "./speakers.ts";

export interface PromptInput {
  /** Oldest first. A speaker may be left out where two take turns, or in a monologue. */
  turns: readonly { speaker?: string | undefined; text: string }[];
  /** Default: what the speakers' names suggest. */
  format?: Format | undefined;
  /** Who answers. Default: the other one of two. null: nobody, the dialogue is complete. */
  next?: string | null | undefined;
  /** How the answer begins. */
  start?: string | undefined;
}

export interface BuiltPrompt {
  prompt: string;
  format: Format;
  /** Everybody in it by first appearance, as the caller calls them, and who answers. */
  speakers: string[];
  /** The speakers by what the prompt calls them: the way back from "Intervenant 1". */
  names: Map<string, string>;
  /** Who answers, as the caller calls them; null if nobody does. */
  next: string | null;
  /** How the answer begins, as it stands in the prompt. */
  start: string;
  /** Strings that end a turn in the generated text. */
  stop: readonly string[];
}

/**
 * Writes a prompt. Turns are made harmless, never dropped: the prompt has as many turns as were
 * given, whatever they say, save that dashes cannot show one speaker's turn after another of their
 * own, so there those are joined. In a monologue every turn is a line, and the answer goes on with
 * the last one.
 *
 * @throws {PromptError} if the format cannot hold the dialogue, or it is open who answers
 */
export function buildPrompt({ turns, start = "", ...input }: PromptInput): BuiltPrompt {
  const cast = castOf({ ...input, speakers: turns.map(({ speaker }) => speaker) });
  const { format, next, labels } = cast;
  const { mark, stop } = RULES[format];
  const written = turns.map(({ text }, i) => ({
    speaker: cast.speakers[i]!,
    text: harmlessTurn(text),
  }));
  const begun = next === null ? "" : harmless(start);

  const lines = (format === "dash" ? joinRepeated(written) : written)
    .map(({ speaker, text }) => line(mark(labels.get(speaker)!), text));
  if (format === "monologue") lines.push(line(lines.pop() ?? "", begun));
  else if (next !== null) lines.push(line(mark(labels.get(next)!), begun));
  return {
    prompt: lines.join("\n"),
    format,
    speakers: [...labels.keys()],
    names: new Map(Array.from(labels, ([name, label]) => [label, name])),
    next,
    start: begun,
    stop,
  };
}

function line(mark: string, text: string): string {
  return mark && text ? `${mark} ${text}` : mark + text;
}

/** Turns of which no two in a row are by the same speaker. */
export function joinRepeated(turns: readonly Turn[]): Turn[] {
  const joined: Turn[] = [];
  for (const { speaker, text } of turns) {
    const last = joined.at(-1);
    if (last?.speaker === speaker) last.text = `${last.text} ${text}`;
    else joined.push({ speaker, text });
  }
  return joined;
}
