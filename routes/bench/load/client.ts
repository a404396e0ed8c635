/**
 * One streamed answer of an OpenAI-compatible server, and when each part of it came.
 *
 * Knows the two routes that stream, and what servers of this kind have in common. Tokens are counted
 * by the server's own usage: an event may hold several, or none. Knows nothing of how many answers
 * are asked for at a time.
 */
import { EventSourceParserStream } from "eventsource-parser/stream";

export const APIS = ["completions", "chat"] as const;
export type Api = typeof APIS[number];

export interface Target {
  /** Ends in "/v1". */
  base: string;
  api: Api;
  /** As the server names it. */
  model: string;
  key: string | undefined;
  /** Fields that say how a token is chosen. */
  sampling: object;
}

export interface Turn {
  role: "user" | "assistant";
  content: string;
}

export interface Ask {
  /** The dialogue so far; for completions its texts, one after the other. */
  turns: readonly Turn[];
  tokens: number;
  signal: AbortSignal;
  /** Hears of each event with text, and when: `performance.now()`. */
  onText?: (at: number) => void;
}

export interface Answer {
  /** Milliseconds, as `performance.now()` tells time. */
  sent: number;
  first: number;
  last: number;
  /** Of each event with text. */
  times: number[];
  text: string;
  tokens: number;
  promptTokens: number | undefined;
  cachedTokens: number | undefined;
  /** Whether the server said how many tokens there are; if not, events were counted. */
  counted: boolean;
}

/** Why there is no answer; `kind` is short and of a small set: "HTTP 429", "error event", … */
export class LoadError extends Error {
  override name = "LoadError";
  constructor(readonly kind: string, message: string) {
    super(message);
  }
}

/** @throws {LoadError} if the server refuses, cannot be reached or breaks off */
export async function ask(target: Target, { turns, tokens, signal, onText }: Ask): Promise<Answer> {
  const times: number[] = [];
  let ended = false;
  let finished: number | undefined;
  const answer: Answer = {
    ...{ sent: performance.now(), first: 0, last: 0, times, text: "", tokens: 0 },
    ...{ promptTokens: undefined, cachedTokens: undefined, counted: false },
  };
  try {
    const response = await post(target, bodyOf(target, turns, tokens), signal);
    // The request's own signal does not end every body that is being read.
    const events = response.body!
      .pipeThrough(new TextDecoderStream(), { signal })
      .pipeThrough(new EventSourceParserStream());
    for await (const { data } of events) {
      if (data === "[DONE]") {
        ended = true;
        continue;
      }
      const event: StreamEvent = JSON.parse(data);
      if (event.choices?.[0]?.finish_reason) {
        ended = true;
        finished = performance.now();
      }
      const text = readEvent(event, answer);
      if (text === "") continue;
      const now = performance.now();
      times.push(now);
      answer.text += text;
      onText?.(now);
    }
  } catch (error) {
    if (error instanceof LoadError || signal.aborted) throw error;
    throw new LoadError("connection", (error as Error).message);
  }
  if (!ended) throw new LoadError("broke off", "The stream ended before the answer did.");
  // An answer may hold special tokens only.
  if (times.length === 0 && finished !== undefined) times.push(finished);
  if (times.length === 0) throw new LoadError("no text", "The answer held no text.");
  answer.first = times[0]!;
  answer.last = times.at(-1)!;
  if (!answer.counted) answer.tokens = times.length;
  return answer;
}

/** Takes usage out of an event; returns its text. */
function readEvent(event: StreamEvent, answer: Answer): string {
  if (event.error) throw new LoadError("error event", messageOf(event.error));
  const { usage } = event;
  if (usage) {
    answer.tokens = usage.completion_tokens;
    answer.promptTokens = usage.prompt_tokens;
    answer.cachedTokens = usage.prompt_tokens_details?.cached_tokens;
    answer.counted = true;
  }
  const [choice] = event.choices ?? [];
  return choice?.text ?? choice?.delta?.content ?? "";
}

/** The parts that are looked at; any of them may be missing. */
interface StreamEvent {
  error?: unknown;
  choices?: {
    text?: string;
    delta?: { content?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
  } | null;
}

function bodyOf({ api, model, sampling }: Target, turns: readonly Turn[], tokens: number): object {
  const what = api === "chat"
    ? { messages: turns }
    : { prompt: turns.map(({ content }) => content).join("") };
  return {
    ...{ model, ...what, max_tokens: tokens, ...sampling },
    ...{ stream: true, stream_options: { include_usage: true } },
  };
}

async function post(target: Target, body: object, signal: AbortSignal): Promise<Response> {
  const path = target.api === "chat" ? "chat/completions" : "completions";
  const response = await fetch(`${target.base}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(target.key) },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok && response.body) return response;
  throw new LoadError(`HTTP ${response.status}`, await refusalOf(response));
}

/**
 * How many tokens a text has, by the server's route for that: TGI's and vLLM's `POST /tokenize`,
 * each of which looks at its own field. Undefined where there is none.
 */
export async function countTokens(
  { base, model, key }: Target,
  text: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const response = await fetch(`${base.slice(0, -"/v1".length)}/tokenize`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(key) },
    body: JSON.stringify({ model, inputs: text, prompt: text }),
    signal,
  });
  let answer: unknown;
  try {
    answer = await response.json();
  } catch (error) {
    if (signal.aborted) throw error;
  }
  if (!response.ok) return undefined;
  const count = Array.isArray(answer) ? answer.length : Object(answer).count;
  return Number.isInteger(count) ? count : undefined;
}

/** The first model that the server lists. @throws {LoadError} if it lists none */
export async function firstModel(base: string, key: string | undefined): Promise<string> {
  let response: Response;
  try {
    response = await fetch(`${base}/models`, { headers: authorization(key) });
  } catch (error) {
    throw new LoadError("connection", (error as Error).message);
  }
  if (!response.ok) throw new LoadError(`HTTP ${response.status}`, await refusalOf(response));
  const id = (await response.json())?.data?.[0]?.id;
  if (typeof id === "string") return id;
  throw new LoadError("no model", "It lists no model: name one with --model-name.");
}

function authorization(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

async function refusalOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error = text } = JSON.parse(text);
    return messageOf(error);
  } catch {
    return text.slice(0, 200);
  }
}

function messageOf(error: unknown): string {
  const { message = error } = Object(error);
  return (typeof message === "string" ? message : JSON.stringify(message)).slice(0, 200);
}
