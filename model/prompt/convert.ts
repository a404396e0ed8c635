/**
 * The same dialogue in another format.
 *
 * Knows what speakers are called where, and keeps their names for the way back. Knows no text.
 */
import { joinRepeated } from "./build.ts";
import type { Format, Turn } from "./format.ts";
import { checkCount, labelsOf } from "./speakers.ts";

/** A dialogue in a format; `parsePrompt` gives one, `buildPrompt` takes one. */
export interface Dialogue {
  format: Format;
  turns: readonly Turn[];
  next?: string | null;
  /** What its speakers were called before they lost their names, by what they are called now. */
  names?: ReadonlyMap<string, string>;
}

export interface ConvertedDialogue extends Dialogue {
  turns: Turn[];
  next: string | null;
  names: Map<string, string>;
}

/**
 * Without names, speakers are numbered by first appearance; `names` remembers who they were, and a
 * conversion back to the named format gives them their names again. A speaker who never had one
 * stays "Intervenant N". One speaker's turns in a row are joined for the dash format.
 *
 * @throws {PromptError} for the dash format with more than two speakers, a monologue with two
 */
export function convertDialogue(dialogue: Dialogue, format: Format): ConvertedDialogue {
  const { turns, next = null, names: before } = dialogue;
  const nameOf = (label: string) => before?.get(label) ?? label;
  const named = turns.map(({ speaker, text }) => ({ speaker: nameOf(speaker), text }));
  const answering = next === null ? null : nameOf(next);
  const everybody = [...named.map(({ speaker }) => speaker), ...(answering ? [answering] : [])];
  const labels = labelsOf([...new Set(everybody)], format);
  checkCount([...labels.keys()], format);

  const converted = named.map(({ speaker, text }) => ({ speaker: labels.get(speaker)!, text }));
  return {
    format,
    turns: format === "dash" ? joinRepeated(converted) : converted,
    next: answering === null ? null : labels.get(answering)!,
    names: new Map(Array.from(labels, ([name, label]) => [label, name])),
  };
}
