/**
 * What the browser remembers: "local" for good, "session" until the tab is closed.
 *
 * Knows that a browser may refuse to remember anything; the page works without.
 */

/** @param {"local" | "session"} kind */
function storage(kind) {
  return kind === "local" ? globalThis.localStorage : globalThis.sessionStorage;
}

/**
 * @param {"local" | "session"} kind
 * @param {string} key
 * @returns {string | null}
 */
export function recall(kind, key) {
  try {
    return storage(kind).getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {"local" | "session"} kind
 * @param {string} key
 * @param {string | null} value null forgets
 */
export function keep(kind, key, value) {
  try {
    if (value === null) storage(kind).removeItem(key);
    else storage(kind).setItem(key, value);
  } catch {
    // Private windows and full disks: what was said holds until the page is left.
  }
}
