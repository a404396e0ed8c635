/**
 * Where the next line is written, and the buttons that let the model speak, stop, or try again.
 *
 * The button that starts an answer is the one that stops it, so the focus stays where it is.
 */
import { voices } from "./dialogue.js";
import { get, setOptions, setText } from "./dom.js";
import { t } from "./i18n.js";
import { answerer, hasLines, writer } from "./request.js";
import { showFigures } from "./script_view.js";

/** @typedef {import("./state.js").Store} Store */

/** Milliseconds between two looks at the clock while an answer comes in. */
const TICK = 500;

/**
 * @param {Store} store
 * @param {ReturnType<typeof import("./runner.js").createRunner>} runner
 */
export function showComposer(store, runner) {
  const form = get("composer", HTMLFormElement);
  const draft = get("draft", HTMLTextAreaElement);
  const who = get("writer", HTMLSelectElement);
  const answer = get("answer", HTMLButtonElement);
  const add = get("add", HTMLButtonElement);
  const goOn = get("go-on", HTMLButtonElement);
  const count = get("count", HTMLInputElement);
  const again = get("again", HTMLButtonElement);
  const undo = get("undo", HTMLButtonElement);

  draft.addEventListener("input", () => {
    store.set({ draft: { ...store.get().draft, text: draft.value } });
  });
  draft.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!store.get().run) form.requestSubmit();
  });
  who.addEventListener("change", () => {
    store.set({ draft: { ...store.get().draft, speaker: Number(who.value) } });
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (store.get().run) runner.stop();
    else if (hasLines(store.get())) runner.run(1);
  });
  // The second click of a double click would stop what the first one started.
  answer.addEventListener("click", (event) => {
    if (event.detail > 1) event.preventDefault();
  });
  add.addEventListener("click", () => {
    runner.say();
    draft.focus();
  });
  goOn.addEventListener("click", () => {
    const state = store.get();
    if (!state.run && hasLines(state)) runner.run(state.count);
  });
  count.addEventListener("change", () => {
    const number = Math.round(Number(count.value));
    const { min, max } = count;
    const inside = Math.min(Number(max), Math.max(Number(min), number || Number(min)));
    store.set({ count: inside });
    count.value = String(inside);
  });
  again.addEventListener("click", () => {
    const { last } = store.get();
    // This button goes while the answer comes; the one that stops it takes its place.
    answer.focus();
    if (last) runner.replay(last);
  });
  undo.addEventListener("click", () => {
    const kept = store.get().undo;
    if (kept) store.set({ turns: kept.turns, undo: null });
    draft.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") runner.stop();
  });

  /** @type {ReturnType<typeof setInterval> | undefined} */
  let ticking;
  store.subscribe((state) => {
    const names = state.speakers.slice(0, voices(state));
    const alone = names.length === 1;
    const busy = state.run !== null;
    const options = names.map((text, index) => ({ value: String(index), text }));
    setOptions(who, options, String(writer(state)));
    who.hidden = alone;
    if (draft.value !== state.draft.text) draft.value = state.draft.text;
    draft.placeholder = alone
      ? t("monologuePlaceholder")
      : t("draftPlaceholder", { name: names[writer(state)] ?? "" });
    const name = names[answerer(state)] ?? "";
    setText(
      answer,
      busy
        ? t("stop")
        : alone
        ? t("carryOn")
        : t(draft.value.trim() ? "answer" : "speak", { name }),
    );
    answer.classList.toggle("stop", busy);
    const empty = !busy && !hasLines(state);
    answer.disabled = empty && document.activeElement !== answer;
    goOn.disabled = empty && document.activeElement !== goOn;
    add.disabled = busy || state.draft.text.trim() === "";
    goOn.setAttribute("aria-disabled", String(busy));
    get("go-on-group", HTMLElement).hidden = alone;
    if (document.activeElement !== count) count.value = String(state.count);
    again.hidden = busy || !state.last;
    setText(again, t("again"));
    undo.hidden = busy || !state.undo;
    showError(state);
    if (busy && !ticking) {
      ticking = setInterval(() => showFigures(store.get()), TICK);
    } else if (!busy) {
      clearInterval(ticking);
      ticking = undefined;
    }
  });
}

/** @param {import("./state.js").State} state */
function showError({ error, undo }) {
  const place = get("alert", HTMLElement);
  const notice = error ?? undo;
  setText(place, notice ? t(notice.word, "values" in notice ? notice.values : {}) : "");
  place.classList.toggle("bad", error !== null);
  if (error?.word === "errorKey" || error?.word === "errorWrongKey") {
    get("access", HTMLDetailsElement).open = true;
  }
}
