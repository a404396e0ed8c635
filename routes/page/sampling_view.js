/**
 * The sampling controls: a slider with its value each, a seed, and the way back.
 */
import { get, make, setText } from "./dom.js";
import { formatNumber, t } from "./i18n.js";
import { CONTROLS, MAX_SEED, readSeed, startSampling } from "./sampling.js";

/** @typedef {import("./i18n.js").Word} Word */

/** @param {import("./state.js").Store} store */
export function showSampling(store) {
  const place = get("sliders", HTMLElement);
  const rows = CONTROLS.map((control) => {
    const { name, min, max, step } = control;
    const slider = make("input", {
      type: "range",
      id: name,
      min: String(min),
      max: String(max),
      step: String(step),
      "aria-describedby": `${name}-hint`,
    });
    const label = make("label", { for: name });
    const value = make("output", { for: name });
    const hint = make("p", { class: "hint", id: `${name}-hint` });
    slider.addEventListener("input", () => {
      store.set({ sampling: { ...store.get().sampling, [name]: slider.valueAsNumber } });
    });
    place.append(make("div", { class: "field slider" }, label, value, slider, hint));
    return { name, slider, label, value, hint };
  });

  const label = make("label", { for: "seed" });
  const seed = make("input", {
    type: "text",
    id: "seed",
    inputmode: "numeric",
    maxlength: String(String(MAX_SEED).length),
    "aria-describedby": "seed-hint",
  });
  const hint = make("p", { class: "hint", id: "seed-hint" });
  place.append(make("div", { class: "field" }, label, seed, hint));
  seed.addEventListener("change", () => {
    store.set({ sampling: { ...store.get().sampling, seed: readSeed(seed.value) } });
    seed.value = String(store.get().sampling.seed ?? "");
  });
  get("reset", HTMLButtonElement).addEventListener("click", () => {
    store.set({ sampling: startSampling() });
  });

  store.subscribe(({ sampling, report }) => {
    for (const { name, slider, label, value, hint } of rows) {
      setText(label, t(name));
      setText(hint, t(/** @type {Word} */ (`${name}Hint`)));
      if (slider.valueAsNumber !== sampling[name]) slider.value = String(sampling[name]);
      setText(value, formatNumber(sampling[name], 2));
    }
    setText(label, t("seed"));
    const last = report?.seed ?? null;
    setText(
      hint,
      last === null ? t("seedHint") : `${t("seedHint")} (${t("seedUsed", { seed: last })})`,
    );
    if (document.activeElement !== seed) seed.value = String(sampling.seed ?? "");
  });
}
