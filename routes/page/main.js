/**
 * Puts the page together: one state, the parts that show it, and what belongs to no part.
 */
import { showCast } from "./cast_view.js";
import { showComposer } from "./composer.js";
import { announce, get, icon, make, setLabel } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { chooseLanguage, t, translateDocument, typeset } from "./i18n.js";
import { showCode, showPrompt } from "./prompt_view.js";
import { createRunner } from "./runner.js";
import { showSampling } from "./sampling_view.js";
import { showScript } from "./script_view.js";
import { showServer } from "./server_view.js";
import { createStore, newState } from "./state.js";
import { currentTheme, onSystemTheme, switchTheme } from "./theme.js";

/** @typedef {import("./state.js").Store} Store */

/** Pixels by which the script's end may be out of sight for a reader who still follows it. */
const NEAR = 120;

const store = createStore();
const runner = createRunner(store, {
  onTurn: ({ speaker, text }) => {
    announce(t("said", { name: store.get().speakers[speaker] ?? "", text }));
  },
});

translateDocument();
showTheme();
showLanguages();
showExamples();
showCast(store);
showSampling(store);
showScript(store, runner);
showComposer(store, runner);
showPrompt(store);
showCode(store);
showServer(store);
followAnswer();

function showTheme() {
  const button = get("theme", HTMLButtonElement);
  const show = () => {
    const dark = currentTheme() === "dark";
    button.replaceChildren(icon(dark ? "sun" : "moon"));
    button.setAttribute("aria-pressed", String(dark));
    setLabel(button, t(dark ? "light" : "dark"));
  };
  button.addEventListener("click", () => {
    switchTheme();
    show();
  });
  onSystemTheme(show);
  store.subscribe(show);
}

function showLanguages() {
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      chooseLanguage(button.getAttribute("data-language") === "en" ? "en" : "fr");
      store.refresh();
    });
  }
}

function showExamples() {
  const place = get("examples", HTMLElement);
  for (const { title, format, speakers, line } of EXAMPLES) {
    const button = make(
      "button",
      { type: "button", class: "example", lang: "fr" },
      make("span", { class: "title" }, title),
      make("span", { class: "line" }, typeset(line)),
    );
    button.addEventListener("click", () => {
      store.set({ format, speakers, draft: { text: line, speaker: 0 }, next: null });
      get("draft", HTMLTextAreaElement).focus();
    });
    place.append(make("li", {}, button));
  }
  get("clear", HTMLButtonElement).addEventListener("click", () => {
    const { turns, format, speakers, sampling, count } = store.get();
    runner.stop();
    store.set({
      ...newState(),
      format,
      speakers,
      sampling,
      count,
      ...(turns.length > 0 && { undo: { turns, word: "cleared" } }),
    });
    get("draft", HTMLTextAreaElement).focus();
  });
}

/** Keeps the newest line in sight, unless the reader has gone back to an older one. */
function followAnswer() {
  let length = 0;
  let near = true;
  const bar = get("bar", HTMLElement);
  // A line that is scrolled to, or into, must come to lie above the bar.
  new ResizeObserver(() => {
    get("script", HTMLElement).style.setProperty("--bar", `${bar.offsetHeight}px`);
  }).observe(bar);
  addEventListener("scroll", () => {
    const end = get("script", HTMLElement).getBoundingClientRect().bottom;
    near = end < bar.getBoundingClientRect().top + NEAR;
  }, { passive: true });
  store.subscribe(({ turns, run }) => {
    const more = turns.length > length;
    length = turns.length;
    if (!run && !more) return;
    if (more && !run?.first) near = true;
    const last = get("script", HTMLElement).lastElementChild;
    if (near && last) last.scrollIntoView({ block: "nearest" });
  });
}
