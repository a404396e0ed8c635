/**
 * The page's two languages: which one holds, and words with values put in.
 *
 * Knows that French puts no-break spaces before high punctuation. Knows no element but those that
 * are marked with `data-i18n` (text), `data-i18n-label` and `data-i18n-placeholder`.
 */
import { ENGLISH } from "./words_en.js";
import { FRENCH } from "./words_fr.js";
import { keep, recall } from "./storage.js";

/** @typedef {"fr" | "en"} Language */
/** @typedef {import("./words_fr.js").Word} Word */
/** @typedef {Record<string, string | number>} Values */

const KEY = "clairon.language";

/** @type {Language} */
let language = recall("local", KEY) === "en" ? "en" : "fr";

/** @returns {Language} */
export function currentLanguage() {
  return language;
}

/** @param {Language} chosen */
export function chooseLanguage(chosen) {
  language = chosen;
  keep("local", KEY, chosen);
  translateDocument();
}

/**
 * @param {Word} word
 * @param {Values} [values] what stands for `{name}` in the text
 */
export function t(word, values = {}) {
  const text = language === "fr" ? typeset(FRENCH[word]) : ENGLISH[word];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * @param {number} value
 * @param {number} [digits] decimals at most
 */
export function formatNumber(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/**
 * French as it is printed: a narrow no-break space before `?`, `!`, `;` and `%`, a no-break space
 * before `:`, round apostrophes.
 *
 * @param {string} text
 */
export function typeset(text) {
  return text.replace(/ ([?!;%])/g, "\u202f$1").replace(/ (:)/g, "\u00a0$1").replaceAll("'", "’");
}

/** Puts the words of the current language into the marked elements. */
export function translateDocument() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) {
    element.textContent = t(/** @type {Word} */ (element.getAttribute("data-i18n")));
  }
  for (const name of ["label", "placeholder"]) {
    for (const element of document.querySelectorAll(`[data-i18n-${name}]`)) {
      const word = /** @type {Word} */ (element.getAttribute(`data-i18n-${name}`));
      element.setAttribute(name === "label" ? "aria-label" : name, t(word));
    }
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    const pressed = button.getAttribute("data-language") === language;
    button.setAttribute("aria-pressed", String(pressed));
  }
}
