/**
 * The sampling controls: their names in the API, ranges in which the model stays sensible, and
 * where they start, which is where the server does.
 */

/**
 * @typedef {object} Control
 * @property {"temperature" | "top_k" | "top_p" | "min_p" | "repetition_penalty" | "max_tokens"} name
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {number} start
 */

/** Tokens of an answer, however many lines it has: half of what the model can hold in mind. */
export const MOST_TOKENS = 1000;

/** @type {readonly Control[]} */
export const CONTROLS = [
  { name: "max_tokens", min: 20, max: MOST_TOKENS, step: 10, start: 200 },
  { name: "temperature", min: 0.1, max: 1.9, step: 0.05, start: 1 },
  { name: "top_k", min: 1, max: 100, step: 1, start: 10 },
  { name: "top_p", min: 0.1, max: 1, step: 0.01, start: 0.99 },
  { name: "min_p", min: 0, max: 0.5, step: 0.01, start: 0 },
  { name: "repetition_penalty", min: 1, max: 1.95, step: 0.05, start: 1.1 },
];

/** The largest seed that is a whole number in JavaScript and on the server. */
export const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** @typedef {Record<Control["name"], number> & { seed: number | null }} Sampling */

/** @returns {Sampling} */
export function startSampling() {
  const values = CONTROLS.map(({ name, start }) => [name, start]);
  return { ...Object.fromEntries(values), seed: null };
}

/**
 * The value within the control's range, or where it starts if there is none.
 *
 * @param {Control} control
 * @param {unknown} value
 */
export function within({ min, max, start }, value) {
  const number = typeof value === "number" ? value : Number.NaN;
  return Number.isFinite(number) ? Math.min(max, Math.max(min, number)) : start;
}

/**
 * A seed as it was typed: a whole number, or null for a random one.
 *
 * @param {string} text
 * @returns {number | null}
 */
export function readSeed(text) {
  const seed = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isSafeInteger(seed) && seed >= 0 ? seed : null;
}
