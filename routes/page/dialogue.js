/**
 * A dialogue and what can be done to it, as pure functions: each returns what changes.
 *
 * Knows characters by number, so that a name can change. Keeps who said a line even while a format
 * with fewer voices shows it as somebody else's: switching back loses nothing.
 */
import { formatOf } from "./formats.js";

/**
 * @typedef {object} Turn
 * @property {number} id never used twice in a dialogue
 * @property {number} speaker index of the character
 * @property {string} text
 * @property {boolean} model whether the model wrote it
 */

/**
 * @typedef {object} Dialogue
 * @property {import("./formats.js").FormatId} format
 * @property {string[]} speakers names
 * @property {Turn[]} turns
 */

/** Characters of a name. */
export const MAX_NAME = 40;

/** @returns {Dialogue} */
export function newDialogue() {
  return { format: "dash", speakers: ["Camille", "Dominique"], turns: [] };
}

/**
 * How many characters the format lets speak.
 *
 * @param {Dialogue} dialogue
 */
export function voices({ format, speakers }) {
  return Math.min(formatOf(format).voices, speakers.length);
}

/**
 * Whose line it is in the dialogue's format.
 *
 * @param {Dialogue} dialogue
 * @param {number} speaker
 */
export function heardAs(dialogue, speaker) {
  return speaker % voices(dialogue);
}

/**
 * Who speaks after `speaker` when everybody takes turns.
 *
 * @param {Dialogue} dialogue
 * @param {number} speaker
 */
export function after(dialogue, speaker) {
  return (heardAs(dialogue, speaker) + 1) % voices(dialogue);
}

/**
 * Who is next after the last line.
 *
 * @param {Dialogue} dialogue
 */
export function upNext(dialogue) {
  const last = dialogue.turns.at(-1);
  return last ? after(dialogue, last.speaker) : 0;
}

/**
 * @param {readonly Turn[]} turns
 * @param {Omit<Turn, "id">} turn
 */
export function withTurn(turns, turn) {
  return [...turns, { ...turn, id: Math.max(0, ...turns.map(({ id }) => id)) + 1 }];
}

/**
 * @param {readonly Turn[]} turns
 * @param {number} id
 * @param {Partial<Omit<Turn, "id">>} change
 */
export function withChange(turns, id, change) {
  return turns.map((turn) => turn.id === id ? { ...turn, ...change } : turn);
}

/**
 * A name as the prompt formats can hold it: no brackets, no colon, one line.
 *
 * @param {string} name
 */
export function cleanName(name) {
  const plain = name.toWellFormed().replace(/[[\]:\p{Cc}]+/gu, " ").replace(/\s+/g, " ").trim();
  return [...plain].slice(0, MAX_NAME).join("").trimEnd();
}

/**
 * The number of the character with that name; one who is new joins the cast if there is room.
 *
 * @param {Dialogue} dialogue
 * @param {string} name
 * @returns {{ speaker: number, speakers: string[] }}
 */
export function find(dialogue, name) {
  const { speakers, format } = dialogue;
  const clean = cleanName(name);
  const known = speakers.indexOf(clean);
  if (known >= 0) return { speaker: known, speakers };
  if (speakers.length < formatOf(format).voices && clean !== "") {
    return { speaker: speakers.length, speakers: [...speakers, clean] };
  }
  return { speaker: upNext(dialogue), speakers };
}

/**
 * The first free name of a new character.
 *
 * @param {readonly string[]} speakers
 */
export function freshName(speakers) {
  const pool = ["Camille", "Dominique", "Alix", "Sacha", "Lou", "Maxime", "Claude"];
  return pool.find((name) => !speakers.includes(name)) ?? `Voix ${speakers.length + 1}`;
}

/**
 * Whether nobody would miss this character: lines keep their speakers.
 *
 * @param {Dialogue} dialogue
 * @param {number} speaker
 */
export function removable({ speakers, turns }, speaker) {
  return speakers.length > 2 && turns.every((turn) => turn.speaker !== speaker);
}

/**
 * @param {Dialogue} dialogue
 * @param {number} speaker one that is removable
 * @returns {Pick<Dialogue, "speakers" | "turns">}
 */
export function withoutSpeaker({ speakers, turns }, speaker) {
  return {
    speakers: speakers.filter((_, index) => index !== speaker),
    turns: turns.map((turn) =>
      turn.speaker > speaker ? { ...turn, speaker: turn.speaker - 1 } : turn
    ),
  };
}
