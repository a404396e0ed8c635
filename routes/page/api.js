/**
 * The page's side of Clairon's HTTP interface.
 *
 * Knows routes, the key, and how failures become one of a few kinds. Knows no element and no words.
 */
import { recall } from "./storage.js";
import { readEvents } from "./sse.js";

/**
 * @typedef {"key" | "wrongKey" | "invalid" | "tooLong" | "busy" | "loading" | "draining" | "failed"
 *   | "cut" | "other"} FailureKind
 */

export const KEY = "clairon.key";

/** Why a request came to nothing. */
export class Failure extends Error {
  /**
   * @param {FailureKind} kind
   * @param {{ status?: number, detail?: string }} [more] `detail` is the server's own sentence
   */
  constructor(kind, { status = 0, detail = "" } = {}) {
    super(kind);
    this.kind = kind;
    this.status = status;
    this.detail = detail;
  }
}

/** @param {string} path without a slash in front: the page may lie below a prefix */
export function urlOf(path) {
  return new URL(path, document.baseURI).href;
}

/** @returns {Record<string, string>} */
function authorization() {
  const key = recall("session", KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}

/**
 * @param {string} path
 * @param {RequestInit} init
 * @throws {Failure}
 */
async function call(path, init) {
  const headers = { ...authorization(), ...init.headers };
  /** @type {Response} */
  let response;
  try {
    response = await fetch(urlOf(path), { ...init, headers });
  } catch (error) {
    throw init.signal?.aborted ? error : new Failure("cut");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw failureOf(response.status, body);
}

/**
 * @param {number} status
 * @param {{ error?: unknown, error_type?: unknown }} body
 */
export function failureOf(status, body) {
  const said = body.error;
  // OpenAI's shape has the sentence one level down.
  const nested = /** @type {{ message?: unknown } | null} */ (said)?.message;
  const detail = typeof said === "string" ? said : typeof nested === "string" ? nested : "";
  const type = String(body.error_type ?? "");
  return new Failure(kindOf(status, type, detail), { status, detail });
}

/**
 * @param {number} status
 * @param {string} type
 * @param {string} detail
 * @returns {FailureKind}
 */
function kindOf(status, type, detail) {
  if (status === 401) return recall("session", KEY) ? "wrongKey" : "key";
  if (status === 413 || /max_new_tokens|max_total_tokens|tokens/.test(detail) && status === 422) {
    return "tooLong";
  }
  if (status === 422 || status === 400 || status === 403) return "invalid";
  if (status === 429) return "busy";
  if (status === 503) return type === "loading" ? "loading" : "draining";
  return status === 424 ? "failed" : "other";
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {AbortSignal} [signal]
 */
function post(path, body, signal) {
  return call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
}

/**
 * The prompt for some turns.
 *
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {Promise<{ prompt: string, prompt_tokens: number }>}
 * @throws {Failure}
 */
export async function buildPrompt(body, signal) {
  return await (await post("v1/prompts", body, signal)).json();
}

/**
 * What the server runs.
 *
 * @returns {Promise<{ model_id: string, software: boolean }>}
 * @throws {Failure}
 */
export async function serverInfo() {
  return await (await call("info", {})).json();
}

/**
 * How far the model is loaded, in percent; 100 once it is ready.
 *
 * @returns {Promise<number>}
 */
export async function loadProgress() {
  const response = await fetch(urlOf("health")).catch(() => null);
  if (!response) throw new Failure("cut");
  const { progress, status } = await response.json().catch(() => ({}));
  return response.ok ? 100 : status === "loading" ? Number(progress ?? 0) : 0;
}

/**
 * The events of an answer; `done` is always the last one.
 *
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ type: string } & Record<string, any>>}
 * @throws {Failure}
 */
export async function* streamDialogue(body, signal) {
  const response = await post("v1/dialogues", { ...body, stream: true }, signal);
  if (!response.body) throw new Failure("cut");
  try {
    for await (const { event, data } of readEvents(response.body)) {
      const value = JSON.parse(data);
      if (event === "error") throw failureOf(424, value);
      yield { ...value, type: event };
      if (event === "done") return;
    }
  } catch (error) {
    throw error instanceof Failure || signal.aborted ? error : new Failure("cut");
  }
  throw new Failure("cut");
}
