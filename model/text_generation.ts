/**
 * From token events to text events: detokenising, stop strings, and why an answer ended.
 *
 * Knows the engine boundary and the tokenizer. Knows no HTTP and no GPU.
 */
import {
  type Engine,
  EngineError,
  type GenerateRequest,
  type Sampling,
  type TokenEvent,
  type TokenLogprob,
} from "./engine.ts";
import type { Detokenizer } from "./detokenizer.ts";
import { StopMatcher } from "./stop_matcher.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface TextRequest {
  prompt: readonly number[];
  maxNewTokens: number;
  sampling: Sampling;
  /** Strings that end the answer wherever they appear in its text. */
  stop: readonly string[];
  /** Whether the answer keeps the stop string that ended it (TGI) or not (OpenAI). */
  keepStop: boolean;
  /** Ids that end the answer; the text of one that is not special belongs to it. */
  stopTokens: readonly number[];
  topTokens: number;
  promptLogprobs: boolean;
  /** See `GenerateRequest`. */
  cacheScope?: string;
  /** As the engine's. */
  affinity?: string;
}

export interface TextLogprob extends TokenLogprob {
  text: string;
  special: boolean;
}

export interface PromptTextEvent {
  type: "prompt";
  tokens: {
    id: number;
    text: string;
    /** null for the first token. */
    logprob: number | null;
    /** The likeliest tokens for its place, by the model's own logits. */
    top: TextLogprob[];
  }[];
}

export interface TokenTextEvent {
  type: "token";
  /** From 1. */
  index: number;
  id: number;
  /**
   * A special token's own text, else the text that this token made certain: "" while a character is
   * unfinished, nothing of what follows a stop string.
   */
  text: string;
  special: boolean;
  logprob: number;
  processedLogprob: number;
  top: TextLogprob[];
  processedTop: TextLogprob[];
  /**
   * The part of the answer that is certain since the event before: no special token, nothing that a
   * stop string may still take back. All of them put together are the answer.
   */
  safeText: string;
  /** On the first token: tokens of the prompt that were computed before, where there are any. */
  cachedTokens?: number;
}

export interface EndTextEvent {
  type: "end";
  /** The whole answer. */
  text: string;
  reason: "length" | "eos_token" | "stop_sequence";
  /** The stop string at which the text was cut, whatever the reason is. */
  stop?: string;
  promptTokens: number;
  /** Stop tokens count as generated. */
  generatedTokens: number;
}

export type TextEvent = PromptTextEvent | TokenTextEvent | EndTextEvent;

type GeneratedToken = Extract<TokenEvent, { type: "token" }>;

/**
 * Streams one answer as text; the last event is its end. Leaving the loop early, or aborting
 * `signal`, stops the work on the GPU; so does a stop string, before its event is handed out.
 *
 * @throws {EngineError} what the engine throws; "failed" if it ends before the answer does
 * @throws the reason of `signal`, once it is aborted and the engine has stopped
 */
export async function* generateText(
  engine: Engine,
  tokenizer: Tokenizer,
  request: TextRequest,
  signal?: AbortSignal,
): AsyncGenerator<TextEvent> {
  const answer = new Answer(tokenizer, request);
  let last: TokenTextEvent | undefined;
  for await (const event of engine.generate(engineRequest(request), signal)) {
    if (event.type === "prompt") {
      yield promptEvent(tokenizer, request.prompt, event);
      continue;
    }
    const token = answer.add(event);
    if (answer.reason) {
      // Leave the engine first: a slow reader must not keep the GPU at work.
      last = token;
      break;
    }
    yield token;
  }
  if (!last) {
    signal?.throwIfAborted();
    throw new EngineError("failed", "The engine stopped before the answer was complete.");
  }
  yield last;
  yield answer.end();
}

/** The text of one answer as it grows, and the reason it ended. */
class Answer {
  reason: EndTextEvent["reason"] | undefined;
  #text = "";
  #stop: string | undefined;
  /** Length of the decoded text, stop string and what follows it included. */
  #decoded = 0;
  #tokens = 0;
  readonly #tokenizer: Tokenizer;
  readonly #request: TextRequest;
  readonly #detokenizer: Detokenizer;
  readonly #matcher: StopMatcher;

  constructor(tokenizer: Tokenizer, request: TextRequest) {
    this.#tokenizer = tokenizer;
    this.#request = request;
    this.#detokenizer = tokenizer.detokenizer();
    this.#matcher = new StopMatcher(request.stop, { keep: request.keepStop });
  }

  add(event: GeneratedToken): TokenTextEvent {
    this.#tokens++;
    const last = this.#tokens >= this.#request.maxNewTokens || event.finish !== undefined;
    let text = this.#detokenizer.push(event.id);
    if (last) text += this.#detokenizer.flush();
    this.#decoded += text.length;

    const step = this.#matcher.push(text);
    let safeText = step.text;
    if (step.stopped) {
      const { stop, index } = step.stopped;
      this.#stop = stop;
      text = text.slice(0, text.length - (this.#decoded - index - stop.length));
    } else if (last) {
      safeText += this.#matcher.flush();
    }
    this.#text += safeText;
    this.reason = this.#reasonAfter(event);

    const special = this.#tokenizer.isSpecial(event.id);
    return {
      type: "token",
      index: this.#tokens,
      id: event.id,
      text: special ? this.#tokenizer.piece(event.id) : text,
      special,
      logprob: event.logprob,
      processedLogprob: event.processedLogprob,
      top: event.top.map((token) => withText(this.#tokenizer, token)),
      processedTop: event.processedTop.map((token) => withText(this.#tokenizer, token)),
      safeText,
      ...(event.cachedTokens !== undefined && { cachedTokens: event.cachedTokens }),
    };
  }

  end(): EndTextEvent {
    return {
      type: "end",
      text: this.#text,
      reason: this.reason!,
      ...(this.#stop !== undefined && { stop: this.#stop }),
      promptTokens: this.#request.prompt.length,
      generatedTokens: this.#tokens,
    };
  }

  /** In TGI's order: the last allowed token ends by length, whatever it is; then stop tokens. */
  #reasonAfter(event: GeneratedToken): EndTextEvent["reason"] | undefined {
    if (this.#tokens >= this.#request.maxNewTokens || event.finish === "length") return "length";
    if (event.finish === "stop_token") return "eos_token";
    if (this.#stop !== undefined) return "stop_sequence";
  }
}

function engineRequest(request: TextRequest): GenerateRequest {
  const { prompt, maxNewTokens, sampling, stopTokens, topTokens, promptLogprobs } = request;
  const { cacheScope, affinity } = request;
  return {
    prompt,
    maxNewTokens,
    sampling,
    stopTokens,
    topTokens,
    promptLogprobs,
    ...(cacheScope !== undefined && { cacheScope }),
    ...(affinity !== undefined && { affinity }),
  };
}

function promptEvent(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  { logprobs, top }: Extract<TokenEvent, { type: "prompt" }>,
): PromptTextEvent {
  const tokens = prompt.map((id, i) => ({
    id,
    text: tokenizer.piece(id),
    logprob: logprobs[i] ?? null,
    top: (top[i] ?? []).map((token) => withText(tokenizer, token)),
  }));
  return { type: "prompt", tokens };
}

function withText(tokenizer: Tokenizer, token: TokenLogprob): TextLogprob {
  return { ...token, text: tokenizer.piece(token.id), special: tokenizer.isSpecial(token.id) };
}
