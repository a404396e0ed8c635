/**
 * One line of the script: who says it, what, and the ways to change it in place.
 *
 * Knows nothing of the other lines.
 */
import { iconButton, make, setLabel, setText } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./dialogue.js").Turn} Turn */

/**
 * @typedef {object} Actions
 * @property {(id: number, change: { text: string, speaker: number }) => void} save
 * @property {(id: number) => void} remove
 * @property {(id: number) => void} replay
 */

/**
 * @typedef {object} Context
 * @property {string[]} names of those whom the format lets speak
 * @property {number} speaker who says it in this format
 * @property {boolean} writing whether it is being written now
 * @property {boolean} busy whether any line is
 */

/**
 * @param {number} id
 * @param {Actions} actions
 */
export function createTurnView(id, actions) {
  const name = make("span", { class: "name" });
  const byModel = make("span", { class: "hidden" });
  const text = make("p", { class: "text", lang: "fr" });
  const edit = iconButton("edit", () => open());
  const replay = iconButton("replay", () => actions.replay(id));
  const remove = iconButton("remove", () => actions.remove(id));
  const tools = make("div", { class: "tools" }, replay, edit, remove);
  const element = make("li", { class: "turn" }, name, byModel, text, tools);
  /** @type {HTMLFormElement | null} */
  let editor = null;
  /** @type {Turn | undefined} */
  let turn;
  /** @type {Context} */
  let context;
  /** What is shown around the line, to do nothing while another line grows. */
  let seen = "";

  function open() {
    if (!turn || editor) return;
    editor = createEditor(turn.text, context, {
      save(change) {
        const unchanged = change.speaker === context.speaker;
        // A format may show another voice than the line's own: only a real choice changes that.
        const speaker = unchanged && turn ? turn.speaker : change.speaker;
        close();
        actions.save(id, { text: change.text, speaker });
      },
      cancel: close,
    });
    element.classList.add("editing");
    element.append(editor);
    const field = /** @type {HTMLTextAreaElement} */ (editor.elements.namedItem("text"));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  function close() {
    editor?.remove();
    editor = null;
    element.classList.remove("editing");
    edit.focus();
  }

  return {
    element,
    focus: () => edit.focus(),
    /**
     * @param {Turn} next
     * @param {Context} around
     */
    update(next, around) {
      const surroundings = JSON.stringify([around, document.documentElement.lang]);
      if (next === turn && surroundings === seen) return;
      seen = surroundings;
      turn = next;
      context = around;
      const who = around.names[around.speaker] ?? "";
      setText(name, who);
      setText(text, next.text);
      setText(byModel, next.model ? `(${t("byModel")})` : "");
      element.dataset.voice = String(around.speaker);
      element.classList.toggle("model", next.model);
      element.classList.toggle("writing", around.writing);
      // Out of reach rather than gone: a button that vanishes takes the focus with it.
      for (const button of [edit, remove, replay]) {
        button.disabled = around.busy && document.activeElement !== button;
      }
      replay.hidden = !next.model;
      setLabel(edit, t("edit", { name: who }));
      setLabel(remove, t("remove", { name: who }));
      setLabel(replay, t("replay", { name: who }));
    },
  };
}

/**
 * @param {string} text
 * @param {Context} context
 * @param {{ save: (change: { text: string, speaker: number }) => void, cancel: () => void }} on
 */
function createEditor(text, { names, speaker }, on) {
  const who = make("select", { name: "speaker", "aria-label": t("editSpeaker") });
  names.forEach((name, index) => who.append(make("option", { value: String(index) }, name)));
  who.value = String(speaker);
  who.hidden = names.length < 2;
  const field = make("textarea", {
    name: "text",
    rows: "2",
    lang: "fr",
    "aria-label": t("editText"),
  });
  field.value = text;
  const save = make("button", { type: "submit", class: "primary small" }, t("save"));
  const cancel = make("button", { type: "button", class: "plain small" }, t("cancel"));
  cancel.addEventListener("click", on.cancel);
  const form = make(
    "form",
    { class: "editor" },
    who,
    field,
    make("div", { class: "deeds" }, save, cancel),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim() === "") on.cancel();
    else on.save({ text: field.value.trim(), speaker: Number(who.value) });
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      on.cancel();
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === field) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  return form;
}
