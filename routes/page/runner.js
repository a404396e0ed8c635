/**
 * Asks the server for lines and writes what comes into the state; one answer at a time.
 *
 * Knows the order of the events and how to stop. Knows no element.
 */
import { Failure, loadProgress, streamDialogue } from "./api.js";
import { find, heardAs, withChange, withTurn } from "./dialogue.js";
import { answerer, requestOf, writer } from "./request.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./i18n.js").Word} Word */

/** @type {Record<import("./api.js").FailureKind, Word>} */
const SENTENCES = {
  key: "errorKey",
  wrongKey: "errorWrongKey",
  invalid: "errorInvalid",
  tooLong: "errorTooLong",
  busy: "errorBusy",
  loading: "errorLoading",
  draining: "errorDraining",
  failed: "errorFailed",
  cut: "errorCut",
  other: "errorOther",
};

/**
 * A failure as the reader is told of it.
 *
 * @param {unknown} error
 * @returns {Promise<import("./state.js").Notice>}
 */
export async function noticeOf(error) {
  if (!(error instanceof Failure)) throw error;
  const { kind, status, detail } = error;
  const percent = kind === "loading" ? await loadProgress().catch(() => 0) : 0;
  return { word: SENTENCES[kind], values: { status, detail, percent } };
}

/**
 * @param {Store} store
 * @param {{ onTurn: (turn: { speaker: number, text: string }) => void }} listener
 */
export function createRunner(store, { onTurn }) {
  /** @type {AbortController | null} */
  let running = null;

  /**
   * Says the line being written, if there is one, without asking for an answer.
   */
  function say() {
    const state = store.get();
    const text = state.draft.text.trim();
    if (text === "") return false;
    const turn = { speaker: writer(state), text, model: false };
    store.set({
      turns: withTurn(state.turns, turn),
      draft: { text: "", speaker: null },
      undo: null,
      last: null,
      error: null,
    });
    return true;
  }

  /**
   * Says the line being written, then lets the next ones speak.
   *
   * @param {number} count lines to ask for
   */
  async function run(count) {
    if (running) return;
    const control = running = new AbortController();
    const before = store.get();
    const body = requestOf(before, count);
    const answering = answerer(before);
    say();
    const since = performance.now();
    store.set({
      run: { since, first: null, pieces: 0, speaker: null },
      last: { before: store.get().turns, speaker: answering, count },
      error: null,
      report: null,
      undo: null,
    });
    try {
      for await (const event of streamDialogue(body, control.signal)) take(event);
    } catch (error) {
      const end = control.signal.aborted ? stopped() : { error: await noticeOf(error) };
      const refused = store.get().run?.first === null && !control.signal.aborted;
      const { draft } = store.get();
      // What was refused goes back to where it was written, if nothing else is there by now.
      const back = draft.text === "" ? before.draft : draft;
      store.set(refused ? { ...end, turns: before.turns, draft: back, last: null } : end);
    } finally {
      running = null;
      dropEmpty();
      store.set({ run: null });
    }
  }

  /** @param {{ type: string } & Record<string, any>} event */
  function take(event) {
    const state = store.get();
    const run = state.run;
    if (!run) return;
    if (event.type === "turn_start") {
      const last = state.turns.at(-1);
      if (last && state.format === "monologue") {
        // A monologue goes on in its last line.
        const turns = withChange(state.turns, last.id, { model: true });
        store.set({ turns, run: { ...run, speaker: last.speaker } });
        return;
      }
      const { speaker, speakers } = find(state, event.speaker);
      const turns = withTurn(state.turns, { speaker, text: "", model: true });
      store.set({ turns, speakers, run: { ...run, speaker } });
    } else if (event.type === "text") {
      const turn = state.turns.at(-1);
      if (!turn) return;
      const text = (turn.text + event.delta).replace(/^\s+/, "");
      const first = run.first ?? performance.now();
      store.set({
        turns: withChange(state.turns, turn.id, { text }),
        run: { ...run, first, pieces: run.pieces + 1 },
      });
    } else if (event.type === "turn_end") {
      const turn = state.turns.at(-1);
      if (turn) onTurn({ speaker: heardAs(state, turn.speaker), text: turn.text });
    } else if (event.type === "done") {
      const now = performance.now();
      const first = run.first ?? now;
      store.set({
        report: {
          seconds: (now - first) / 1000,
          wait: (first - run.since) / 1000,
          tokens: event.usage?.completion_tokens ?? null,
          seed: event.seed ?? null,
          cut: event.finish_reason === "length",
        },
      });
    }
  }

  /** The report of an answer that the reader broke off. */
  function stopped() {
    const seconds = (performance.now() - (store.get().run?.since ?? 0)) / 1000;
    return { report: { seconds, wait: 0, tokens: null, seed: null, cut: false } };
  }

  /** A line that never got a word is no line. */
  function dropEmpty() {
    const { turns } = store.get();
    const kept = turns.filter((turn) => turn.text.trim() !== "");
    if (kept.length < turns.length) store.set({ turns: kept });
  }

  return {
    say,
    run,
    stop: () => running?.abort(),

    /**
     * Goes back to some lines and has them answered anew.
     *
     * @param {import("./state.js").Answer} from
     */
    async replay({ before, speaker, count }) {
      const { turns, next, draft, last } = store.get();
      if (running) return;
      store.set({ turns: before, next: speaker, draft: { text: "", speaker: null } });
      const answer = run(count);
      // The request is made: what the reader had set or begun to write is theirs again.
      store.set({ next, draft });
      await answer;
      // Of no use if nothing came of it.
      if (store.get().turns.length === before.length && store.get().error) {
        store.set({ turns, draft, last });
      }
    },
  };
}
