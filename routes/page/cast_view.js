/**
 * The format and the characters: which of the four, who they are, who answers, and how.
 */
import { cleanName, freshName, removable, voices, withoutSpeaker } from "./dialogue.js";
import { announce, get, iconButton, make, setLabel, setOptions, setText } from "./dom.js";
import { formatOf, FORMATS } from "./formats.js";
import { t } from "./i18n.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./i18n.js").Word} Word */

/** @param {Store} store */
export function showCast(store) {
  showFormats(store);
  showNames(store);
  const next = get("next", HTMLSelectElement);
  const start = get("start", HTMLInputElement);
  next.addEventListener("change", () => {
    store.set({ next: next.value === "" ? null : Number(next.value) });
  });
  start.addEventListener("input", () => store.set({ start: start.value }));
  store.subscribe((state) => {
    const names = state.speakers.slice(0, voices(state));
    const options = names.map((text, index) => ({ value: String(index), text }));
    const chosen = state.next === null || state.next >= names.length ? "" : String(state.next);
    setOptions(next, [{ value: "", text: t("nextAuto") }, ...options], chosen);
    get("next-field", HTMLElement).hidden = names.length === 1 || state.format === "dash";
    get("start-field", HTMLElement).hidden = names.length === 1;
    if (start.value !== state.start) start.value = state.start;
  });
}

/** @param {Store} store */
function showFormats(store) {
  const group = get("formats", HTMLFieldSetElement);
  const choices = FORMATS.map(({ id, sample }) => {
    const radio = make("input", { type: "radio", name: "format", value: id });
    const title = make("span", { class: "title" });
    const hint = make("span", { class: "hint" });
    const shown = make("span", { class: "sample", lang: "fr", "aria-hidden": "true" }, sample);
    group.append(make("label", { class: "choice" }, radio, title, hint, shown));
    radio.addEventListener("change", () => {
      store.set({ format: id });
      announce(castHint(store.get()));
    });
    return { id, radio, title, hint };
  });
  store.subscribe((state) => {
    for (const { id, radio, title, hint } of choices) {
      radio.checked = state.format === id;
      radio.disabled = state.run !== null && !radio.checked;
      setText(title, t(id));
      setText(hint, t(/** @type {Word} */ (`${id}Hint`)));
    }
  });
}

/** @param {Store} store */
function showNames(store) {
  const list = get("names", HTMLUListElement);
  const add = get("add-speaker", HTMLButtonElement);
  add.addEventListener("click", () => {
    const { speakers } = store.get();
    store.set({ speakers: [...speakers, freshName(speakers)] });
    const field = list.lastElementChild?.querySelector("input");
    field?.focus();
    field?.select();
  });

  store.subscribe((state) => {
    const shown = voices(state);
    while (list.children.length > shown) list.lastElementChild?.remove();
    while (list.children.length < shown) list.append(nameRow(store, list.children.length));
    [...list.children].forEach((row, index) => {
      const name = state.speakers[index] ?? "";
      const field = row.querySelector("input");
      const button = row.querySelector("button");
      if (!field || !button) return;
      if (document.activeElement !== field) field.value = name;
      field.setAttribute("aria-label", t("nameOf", { number: index + 1 }));
      setLabel(button, t("removeSpeaker", { name }));
      button.hidden = !removable(state, index);
      button.disabled = field.readOnly = state.run !== null;
    });
    const { voices: room } = formatOf(state.format);
    add.hidden = room <= 2;
    add.disabled = state.speakers.length >= room || state.run !== null;
    setText(get("cast-hint", HTMLElement), castHint(state));
  });
}

/**
 * @param {Store} store
 * @param {number} index
 */
function nameRow(store, index) {
  const field = make("input", { type: "text", maxlength: "40", spellcheck: "false" });
  field.addEventListener("change", () => {
    const { speakers } = store.get();
    const name = cleanName(field.value);
    const taken = speakers.some((other, at) => at !== index && other === name);
    if (taken) announce(t("nameTaken"));
    if (taken || name === "") field.value = speakers[index] ?? "";
    else {
      field.value = name;
      store.set({ speakers: speakers.map((old, at) => at === index ? name : old) });
    }
    setText(get("cast-hint", HTMLElement), taken ? t("nameTaken") : castHint(store.get()));
  });
  const remove = iconButton("cross", () => {
    const state = store.get();
    store.set({ ...withoutSpeaker(state, index), next: null });
    get("add-speaker", HTMLButtonElement).focus();
  });
  return make("li", { "data-voice": String(index) }, field, remove);
}

/**
 * What the format does with the characters, if that is not obvious.
 *
 * @param {State} state
 */
function castHint(state) {
  const { voices: room, names } = formatOf(state.format);
  const others = state.turns.some((turn) => turn.speaker >= room);
  const [first = "", second = ""] = state.speakers;
  if (others) {
    return room === 1 ? t("oneVoice", { name: first }) : t("twoVoices", { first, second });
  }
  return names ? "" : t("unread");
}
