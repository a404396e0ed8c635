/**
 * Light or dark: what the system says, unless the reader said otherwise.
 *
 * Knows one attribute, `data-theme`, which `theme.css` reads. Runs before the first paint.
 */
import { keep, recall } from "./storage.js";

const KEY = "clairon.theme";
const system = globalThis.matchMedia("(prefers-color-scheme: dark)");

/** @returns {"light" | "dark"} */
function systemTheme() {
  return system.matches ? "dark" : "light";
}

/** @returns {"light" | "dark"} */
export function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : systemTheme();
}

/** The other theme; a choice that is the system's own is forgotten, so the page follows again. */
export function switchTheme() {
  const chosen = currentTheme() === "dark" ? "light" : "dark";
  apply(chosen === systemTheme() ? null : chosen);
}

/** @param {() => void} listener called when the system changes its mind */
export function onSystemTheme(listener) {
  system.addEventListener("change", listener);
}

/** @param {string | null} theme */
function apply(theme) {
  keep("local", KEY, theme);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

const remembered = recall("local", KEY);
if (remembered === "light" || remembered === "dark") apply(remembered);
