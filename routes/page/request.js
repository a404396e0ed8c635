/**
 * The body of `POST /v1/dialogues` that the page's state stands for.
 *
 * What is sent, the prompt that is shown and the code to copy all come from here, so they agree.
 */
import { after, heardAs, upNext } from "./dialogue.js";
import { MOST_TOKENS } from "./sampling.js";

/** @typedef {import("./state.js").State} State */

/**
 * @typedef {object} DialogueRequest
 * @property {{ speaker: string, text: string }[]} turns
 * @property {string} format
 * @property {string} [next]
 * @property {string} [start]
 * @property {number} [max_turns]
 * @property {number} [seed]
 */

/**
 * Who answers: the one that was chosen, else whoever is next after the line being written. Dashes
 * cannot show who speaks, so there it is always the other one.
 *
 * @param {State} state
 */
export function answerer(state) {
  const last = lines(state).at(-1);
  if (state.next !== null && (state.format !== "dash" || !last)) return heardAs(state, state.next);
  return last ? after(state, last.speaker) : upNext(state);
}

/**
 * Who says the line being written.
 *
 * @param {State} state
 */
export function writer(state) {
  return state.draft.speaker === null ? upNext(state) : heardAs(state, state.draft.speaker);
}

/**
 * The state once the line being written is said.
 *
 * @param {State} state
 * @returns {{ speaker: number, text: string }[]}
 */
function lines(state) {
  const text = state.draft.text.trim();
  return text === "" ? state.turns : [...state.turns, { speaker: writer(state), text }];
}

/**
 * @param {State} state
 * @param {number} [turns] how many lines to ask for
 * @returns {DialogueRequest & Record<string, unknown>}
 */
export function requestOf(state, turns = 1) {
  const { format, speakers } = state;
  const said = lines(state).map(({ speaker, text }) => ({
    speaker: speakers[heardAs(state, speaker)],
    text,
  }));
  const { seed, ...sampling } = state.sampling;
  // The length that was chosen is a line's; the server counts all lines of an answer together.
  const max_tokens = Math.min(MOST_TOKENS, sampling.max_tokens * turns);
  // A monologue goes on where it stands: its line is already begun.
  const start = format === "monologue" ? "" : state.start.trim();
  return {
    turns: said,
    format,
    next: speakers[answerer(state)],
    ...(start !== "" && { start }),
    ...(turns > 1 && { max_turns: turns }),
    ...sampling,
    max_tokens,
    ...(seed !== null && { seed }),
  };
}

/**
 * Whether there is anything to answer or go on from.
 *
 * @param {State} state
 */
export function hasLines(state) {
  return lines(state).length > 0;
}

/**
 * The part of it from which the prompt is made: the body of `POST /v1/prompts`.
 *
 * @param {State} state
 */
export function promptRequestOf(state) {
  const { turns, format, next, start } = requestOf(state);
  return { turns, format, next, ...(start !== undefined && { start }) };
}
