/**
 * The server that the page speaks to: which model, whether it is ready, and the key it may want.
 */
import { Failure, KEY, loadProgress, serverInfo } from "./api.js";
import { get, setText } from "./dom.js";
import { t } from "./i18n.js";
import { keep, recall } from "./storage.js";

/** @typedef {import("./state.js").Store} Store */

/** Milliseconds between two looks at a model that loads, or at a server that does not answer. */
const PATIENCE = 1000;

/** @param {Store} store */
export function showServer(store) {
  const place = get("model", HTMLElement);
  /** @type {() => string} */
  let words = () => "";
  store.subscribe(() => setText(place, words()));

  async function look() {
    try {
      const { model_id: model, software } = await serverInfo();
      words = () => t(software ? "modelSoftware" : "model", { model });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.kind === "loading") {
        const percent = await loadProgress().catch(() => 0);
        words = () => t("modelLoading", { percent });
        setTimeout(look, PATIENCE);
      } else if (error.kind === "key") get("access", HTMLDetailsElement).open = true;
    }
    setText(place, words());
  }
  look();
  showKey(store, look);
}

/**
 * @param {Store} store
 * @param {() => void} onChange
 */
function showKey(store, onChange) {
  const field = get("key", HTMLInputElement);
  field.value = recall("session", KEY) ?? "";
  get("key-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    field.dispatchEvent(new Event("change"));
  });
  field.addEventListener("change", () => {
    keep("session", KEY, field.value.trim() || null);
    const { error } = store.get();
    const aboutKey = error?.word === "errorKey" || error?.word === "errorWrongKey";
    store.set(aboutKey ? { error: null } : {});
    onChange();
  });
}
