/**
 * Small helpers to find and make elements. Texts are set as text, never as markup.
 */

/**
 * The element with that id, which the page is sure to have.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{ new (): T }} type
 * @returns {T}
 */
export function get(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`#${id} is no ${type.name}`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Sets a text only if it differs, so that selections and live regions are left alone.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Fills a select; it keeps the focus it may have.
 *
 * @param {HTMLSelectElement} select
 * @param {{ value: string, text: string }[]} options
 * @param {string} value
 */
export function setOptions(select, options, value) {
  const same = options.length === select.options.length &&
    options.every((option, i) =>
      option.value === select.options[i]?.value && option.text === select.options[i]?.text
    );
  if (!same) {
    select.replaceChildren(...options.map(({ value, text }) => make("option", { value }, text)));
  }
  if (select.value !== value) select.value = value;
}

const SVG = "http://www.w3.org/2000/svg";

/** Strokes in a box of 24 by 24. */
const ICONS = {
  edit: "M4 20h4L19 9l-4-4L4 16v4M13 7l4 4",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  replay: "M5 12a7 7 0 1 0 2.3-5.2M4 4v4.5h4.5",
  cross: "M6 6l12 12M18 6L6 18",
  sun:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3L7 7M17 17l1.7 1.7M5.3 18.7L7 17M17 7l1.7-1.7",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10",
};

/** @typedef {keyof typeof ICONS} Icon */

/** @param {Icon} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button that shows an icon only; its label is for screen readers and as a tooltip.
 *
 * @param {Icon} name
 * @param {() => void} onClick
 */
export function iconButton(name, onClick) {
  const button = make("button", { type: "button", class: "icon-only" }, icon(name));
  button.addEventListener("click", onClick);
  return button;
}

/**
 * @param {HTMLElement} button
 * @param {string} label
 */
export function setLabel(button, label) {
  if (button.getAttribute("aria-label") === label) return;
  button.setAttribute("aria-label", label);
  button.title = label;
}

/**
 * Says something to who cannot see the page, when they have nothing else to listen to.
 *
 * @param {string} text
 */
export function announce(text) {
  get("announcer", HTMLElement).textContent = text;
}
