/**
 * All that the page knows at a moment, in one object that is replaced, never changed in place.
 *
 * Whoever shows a part of it subscribes. Dialogue and settings outlive a reload, in this tab only.
 */
import { newDialogue } from "./dialogue.js";
import { FORMATS } from "./formats.js";
import { CONTROLS, startSampling, within } from "./sampling.js";
import { keep, recall } from "./storage.js";

/**
 * @typedef {object} Run an answer that is being written
 * @property {number} since milliseconds, of `performance.now()`
 * @property {number | null} first when its first words came
 * @property {number} pieces pieces of text so far, about one a token
 * @property {number | null} speaker who speaks now
 */

/**
 * @typedef {object} Report how the last answer went
 * @property {number} seconds from first words to the end
 * @property {number} wait seconds before the first words
 * @property {number | null} tokens null when it was stopped
 * @property {number | null} seed
 * @property {boolean} cut whether the longest length ended it
 */

/**
 * @typedef {object} Answer
 * @property {import("./dialogue.js").Turn[]} before the lines it answered
 * @property {number} speaker who was to answer
 * @property {number} count how many lines were asked for
 */

/** @typedef {{ word: import("./i18n.js").Word, values: import("./i18n.js").Values }} Notice */

/**
 * @typedef {object} OwnState
 * @property {{ text: string, speaker: number | null }} draft null: whoever's turn it is
 * @property {number | null} next who answers; null: whoever's turn it is then
 * @property {string} start how the answer must begin
 * @property {number} count lines to let them say by themselves
 * @property {import("./sampling.js").Sampling} sampling
 * @property {Run | null} run
 * @property {Report | null} report
 * @property {Notice | null} error
 * @property {Answer | null} last what the last answer came from
 * @property {{ turns: import("./dialogue.js").Turn[], word: import("./i18n.js").Word } | null} undo
 *
 * @typedef {import("./dialogue.js").Dialogue & OwnState} State
 */

/**
 * @typedef {object} Store
 * @property {() => State} get
 * @property {(change: Partial<State>) => void} set
 * @property {(listener: (state: State) => void) => void} subscribe calls it at once, too
 * @property {() => void} refresh calls every listener: the language has changed
 */

const KEY = "clairon.scene";
const KEPT = /** @type {const} */ ([
  "format",
  "speakers",
  "turns",
  "count",
  "sampling",
  "start",
  "next",
]);

/** @returns {State} */
export function newState() {
  return {
    ...newDialogue(),
    draft: { text: "", speaker: null },
    next: null,
    start: "",
    count: 4,
    sampling: startSampling(),
    run: null,
    report: null,
    error: null,
    last: null,
    undo: null,
  };
}

/** @returns {Store} */
export function createStore() {
  let state = { ...newState(), ...restore(recall("session", KEY)) };
  /** @type {((state: State) => void)[]} */
  const listeners = [];
  const tell = () => listeners.forEach((listener) => listener(state));
  return {
    get: () => state,
    set(change) {
      state = { ...state, ...change };
      // A long answer comes in many pieces: it is written down when it is whole.
      if (!state.run) keep("session", KEY, save(state));
      tell();
    },
    subscribe(listener) {
      listeners.push(listener);
      listener(state);
    },
    refresh: tell,
  };
}

/** @param {State} state */
export function save(state) {
  return JSON.stringify(Object.fromEntries(KEPT.map((name) => [name, state[name]])));
}

/**
 * What was saved, or nothing if it is not what this page writes.
 *
 * @param {string | null} text
 * @returns {Partial<State>}
 */
export function restore(text) {
  try {
    const { format, speakers, turns, count, sampling, start, next } = JSON.parse(text ?? "");
    const names = Array.isArray(speakers) && speakers.length >= 2 &&
      speakers.every((name) => typeof name === "string" && name !== "");
    const lines = Array.isArray(turns) &&
      turns.every((turn) =>
        Number.isInteger(turn.id) && Number.isInteger(turn.speaker) &&
        turn.speaker >= 0 && turn.speaker < speakers.length &&
        typeof turn.text === "string" && typeof turn.model === "boolean"
      );
    if (!names || !lines || !FORMATS.some(({ id }) => id === format)) return {};
    const values = CONTROLS.map((
      control,
    ) => [control.name, within(control, sampling?.[control.name])]);
    return {
      format,
      speakers,
      turns,
      count: Number.isInteger(count) && count >= 2 && count <= 20 ? count : 4,
      start: typeof start === "string" ? start : "",
      next: Number.isInteger(next) && next >= 0 && next < speakers.length ? next : null,
      sampling: {
        ...Object.fromEntries(values),
        seed: Number.isSafeInteger(sampling?.seed) && sampling.seed >= 0 ? sampling.seed : null,
      },
    };
  } catch {
    return {};
  }
}
