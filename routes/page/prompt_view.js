/**
 * What the model would read and what a program would send: the prompt and the code, while open.
 */
import { buildPrompt, KEY, urlOf } from "./api.js";
import { announce, get, setText } from "./dom.js";
import { formatNumber, t } from "./i18n.js";
import { hasLines, promptRequestOf, requestOf } from "./request.js";
import { noticeOf } from "./runner.js";
import { curlOf, javascriptOf } from "./snippets.js";
import { recall } from "./storage.js";

/** @typedef {import("./state.js").Store} Store */

/** Milliseconds of rest before the server is asked for the prompt again. */
const REST = 250;

/** @param {Store} store */
export function showPrompt(store) {
  const details = get("prompt", HTMLDetailsElement);
  let shown = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {AbortController | undefined} */
  let asking;

  async function ask() {
    asking?.abort();
    const control = asking = new AbortController();
    const place = get("prompt-text", HTMLElement);
    const tokens = get("prompt-tokens", HTMLElement);
    try {
      const body = promptRequestOf(store.get());
      const { prompt, prompt_tokens } = await buildPrompt(body, control.signal);
      setText(place, prompt);
      setText(tokens, t("promptTokens", { count: formatNumber(prompt_tokens) }));
    } catch (error) {
      if (control.signal.aborted) return;
      const { word, values } = await noticeOf(error);
      shown = "";
      setText(place, "");
      setText(tokens, t(word, values));
    }
  }

  function showNothing() {
    asking?.abort();
    clearTimeout(timer);
    shown = "";
    setText(get("prompt-text", HTMLElement), "");
    setText(get("prompt-tokens", HTMLElement), t("noLines"));
  }

  function refresh() {
    if (!details.open || store.get().run) return;
    if (!hasLines(store.get())) return showNothing();
    const wanted = JSON.stringify([promptRequestOf(store.get()), document.documentElement.lang]);
    if (wanted === shown) return;
    shown = wanted;
    clearTimeout(timer);
    timer = setTimeout(ask, REST);
  }
  details.addEventListener("toggle", refresh);
  store.subscribe(refresh);
}

/** @param {Store} store */
export function showCode(store) {
  const details = get("code", HTMLDetailsElement);
  const places = { curl: get("curl", HTMLElement), javascript: get("javascript", HTMLElement) };
  const titles = { curl: "curl", javascript: "JavaScript" };

  function refresh() {
    if (!details.open) return;
    const body = requestOf(store.get());
    const withKey = Boolean(recall("session", KEY));
    const url = urlOf("v1/dialogues");
    setText(places.curl, curlOf(url, body, withKey));
    setText(places.javascript, javascriptOf(url, body, withKey));
  }
  details.addEventListener("toggle", refresh);
  store.subscribe(refresh);

  for (const name of /** @type {const} */ (["curl", "javascript"])) {
    const button = details.querySelector(`[data-copy="${name}"]`);
    if (!(button instanceof HTMLButtonElement)) continue;
    button.addEventListener("click", async () => {
      const done = await copy(places[name]);
      setText(button, t(done ? "copied" : "notCopied"));
      announce(t(done ? "copied" : "notCopied"));
    });
    store.subscribe(() => setText(button, t("copy", { what: titles[name] })));
  }
}

/**
 * @param {HTMLElement} element
 * @returns {Promise<boolean>} whether the browser allowed it; if not, the text is selected
 */
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return false;
  }
}
