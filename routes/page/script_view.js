/**
 * The dialogue as a play script: a list of lines, each with its actions.
 *
 * Reuses the element of a line that is still there, so focus, selection and scrolling survive while
 * an answer comes in.
 */
import { heardAs, voices, withChange } from "./dialogue.js";
import { announce, get, make, setText } from "./dom.js";
import { formatNumber, t } from "./i18n.js";
import { createTurnView } from "./turn_view.js";

/** @typedef {import("./state.js").Store} Store */

/**
 * @param {Store} store
 * @param {ReturnType<typeof import("./runner.js").createRunner>} runner
 */
export function showScript(store, runner) {
  const list = get("script", HTMLOListElement);
  /** @type {Map<number, ReturnType<typeof createTurnView>>} */
  const views = new Map();

  const actions = {
    /** @param {number} id @param {{ text: string, speaker: number }} change */
    save(id, change) {
      const { turns, last } = store.get();
      store.set({
        turns: withChange(turns, id, change),
        undo: null,
        // Another answer is one to the line as it is now.
        last: last && { ...last, before: withChange(last.before, id, change) },
      });
    },
    /** @param {number} id */
    remove(id) {
      const { turns } = store.get();
      const index = turns.findIndex((turn) => turn.id === id);
      store.set({
        turns: turns.filter((turn) => turn.id !== id),
        undo: { turns, word: "removed" },
        last: null,
        report: null,
      });
      const neighbour = store.get().turns[Math.max(0, index - 1)];
      if (neighbour) views.get(neighbour.id)?.focus();
      else get("draft", HTMLTextAreaElement).focus();
    },
    /** @param {number} id */
    replay(id) {
      const { turns } = store.get();
      const index = turns.findIndex((turn) => turn.id === id);
      const turn = turns[index];
      if (!turn) return;
      get("draft", HTMLTextAreaElement).focus({ preventScroll: true });
      runner.replay({ before: turns.slice(0, index), speaker: turn.speaker, count: 1 });
    },
  };

  store.subscribe((state) => {
    const names = state.speakers.slice(0, voices(state));
    const writing = state.run && state.run.speaker !== null ? state.turns.at(-1)?.id : undefined;
    for (const [id, view] of views) {
      if (state.turns.some((turn) => turn.id === id)) continue;
      view.element.remove();
      views.delete(id);
    }
    state.turns.forEach((turn, index) => {
      let view = views.get(turn.id);
      if (!view) {
        view = createTurnView(turn.id, actions);
        views.set(turn.id, view);
      }
      view.update(turn, {
        names,
        speaker: heardAs(state, turn.speaker),
        writing: turn.id === writing,
        busy: state.run !== null,
      });
      if (list.children[index] !== view.element) {
        list.insertBefore(view.element, list.children[index] ?? null);
      }
    });
    list.dataset.format = state.format;
    list.hidden = state.turns.length === 0;
    showAround(state, names);
  });
}

/**
 * @param {import("./state.js").State} state
 * @param {string[]} names
 */
function showAround(state, names) {
  const cast = get("cast-line", HTMLElement);
  const joined = new Intl.ListFormat(document.documentElement.lang).format(names);
  setText(cast, t(names.length === 1 ? "monologueLine" : "castLine", { names: joined }));
  get("opening", HTMLElement).hidden = state.turns.length > 0 || state.run !== null;

  const reading = get("reading", HTMLElement);
  const waited = !reading.hidden;
  reading.hidden = state.run === null || state.run.speaker !== null;
  if (!reading.hidden) setText(reading, t("reading"));
  if (!reading.hidden && !waited) announce(t("reading"));
  showFigures(state);
}

/**
 * How the answer goes, or went: what matters most, and what only wide screens have room for.
 *
 * @param {import("./state.js").State} state
 */
export function showFigures(state) {
  const [first = "", ...more] = figures(state);
  const place = get("figures", HTMLElement);
  if (place.textContent === [first, ...more].join(" · ")) return;
  const rest = make("span", { class: "more" }, ...more.map((text) => ` · ${text}`));
  place.replaceChildren(first, rest);
}

/**
 * @param {import("./state.js").State} state
 * @returns {string[]}
 */
function figures({ run, report }) {
  if (run) {
    const now = performance.now();
    const seconds = formatNumber((now - run.since) / 1000);
    const spoken = run.first === null ? 0 : (now - run.first) / 1000;
    if (spoken < 0.5 || run.pieces < 2) return [t("waiting", { seconds })];
    return [t("speedNow", { seconds, rate: formatNumber((run.pieces - 1) / spoken, 1) })];
  }
  if (!report) return [];
  const { tokens, seconds, wait, cut } = report;
  if (tokens === null) return [t("stopped", { seconds: formatNumber(seconds, 1) })];
  // The first token is part of the wait.
  const rate = tokens > 1 && seconds > 0 ? formatNumber((tokens - 1) / seconds, 1) : "–";
  return [
    t("speed", { tokens: formatNumber(tokens), rate }),
    ...(cut ? [t("cutShort")] : []),
    t("wait", { seconds: formatNumber(wait, 2) }),
  ];
}
