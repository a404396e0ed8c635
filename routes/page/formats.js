/**
 * The four ways in which a dialogue is laid out for the model, as far as the page has to know them:
 * how many voices each has, whether it reads names, and how one line of it looks.
 */

/** @typedef {"monologue" | "dash" | "intervenant" | "named"} FormatId */

/**
 * @typedef {object} Format
 * @property {FormatId} id
 * @property {number} voices how many characters at most
 * @property {boolean} names whether the model reads their names
 * @property {string} sample French in both languages, as the model is
 */

/** @type {readonly Format[]} */
export const FORMATS = [
  { id: "dash", voices: 2, names: false, sample: "- Bonjour !" },
  { id: "intervenant", voices: 6, names: false, sample: "[Intervenant 1:] Bonjour !" },
  { id: "named", voices: 6, names: true, sample: "[Camille:] Bonjour !" },
  { id: "monologue", voices: 1, names: false, sample: "Bonjour à tous, …" },
];

/**
 * @param {string} id
 * @returns {Format}
 */
export function formatOf(id) {
  return FORMATS.find((format) => format.id === id) ?? FORMATS[0];
}
