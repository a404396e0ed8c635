/**
 * An engine without a model: it answers every request with a script of token ids.
 *
 * Knows the engine boundary and keeps its promises (limits, finish reasons, cancellation, drain),
 * so routes and text generation are tested with no GPU and no weights. Knows no text and no HTTP.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Engine,
  EngineError,
  type EngineErrorCode,
  type EngineInfo,
  type EngineState,
  type EngineStats,
  type GenerateRequest,
  NO_COUNTS,
  type TokenEvent,
  type TokenLogprob,
} from "../../model/engine.ts";

/** One token of the script; what is left out gets a plain default. */
export interface ScriptedToken {
  id: number;
  /** Default -0.5. */
  logprob?: number;
  /** Default: the same as `logprob`. */
  processedLogprob?: number;
  /** Default: the token itself, then id + 1, id + 2, … each one less probable by 1. */
  top?: TokenLogprob[];
  /** Default: like `top`, from `processedLogprob`. */
  processedTop?: TokenLogprob[];
  /** Tokens of the prompt that the first token says were there. */
  cachedTokens?: number;
}

/** A list starts over when it ends; a function gets the request and the token's index from 0. */
export type Script =
  | readonly (number | ScriptedToken)[]
  | ((request: GenerateRequest, index: number) => number | ScriptedToken);

export interface FakeEngineOptions {
  /** Default `[0]`. */
  script?: Script;
  /** Overrides of the made-up `EngineInfo`. */
  info?: Partial<EngineInfo>;
  /** Milliseconds before each token; default 0, without a timer. */
  delay?: number;
  /** Throw `error` in place of the token after this many; 0 refuses the request at once. */
  failAfter?: number;
  error?: EngineError;
  /** Requests answered at a time; one more is "busy". Default: no limit. */
  capacity?: number;
  /** Default "ready". With "loading", call `finishLoading` or `failLoading` later. */
  state?: EngineState;
  progress?: number;
  /** What the first token tells of the queue; default: nothing. */
  queuedSeconds?: number;
}

/** What became of one call of `generate`. */
export interface FakeRequest {
  request: GenerateRequest;
  /** Tokens handed out. */
  tokens: number;
  /** "cancelled": the signal was aborted, or the loop was left before the last token. */
  outcome: "running" | "finished" | "cancelled" | "failed";
}

const REFUSALS: Partial<Record<EngineState, [EngineErrorCode, string]>> = {
  loading: ["loading", "The model is still loading."],
  draining: ["draining", "The server is shutting down."],
  lost: ["lost", "The GPU was lost."],
  closed: ["lost", "The engine is closed."],
};

export class FakeEngine implements Engine {
  readonly info: EngineInfo;
  readonly ready: Promise<EngineInfo>;
  readonly lost: Promise<string>;
  /** Every request that was let in, oldest first. */
  readonly requests: FakeRequest[] = [];
  /** All of these may be changed between (or during) requests. */
  script: Script;
  delay: number;
  failAfter: number;
  error: EngineError;
  capacity: number;
  state: EngineState;
  progress: number;
  waiting = 0;
  readonly queuedSeconds: number | undefined;

  #rows = 0;
  #ready = Promise.withResolvers<EngineInfo>();
  #lost = Promise.withResolvers<string>();
  #closing = new AbortController();
  #idle: (() => void)[] = [];

  constructor(options: FakeEngineOptions = {}) {
    this.info = {
      model: "fake",
      adapter: "none",
      software: true,
      path: "portable",
      bits: 4,
      groupSize: 128,
      actOrder: true,
      vocabSize: 268,
      maxPositions: 2048,
      gpuMemoryBytes: 0,
      loadSeconds: 0,
      slots: 1,
      kvTokens: 2048,
      kvBytes: 2 ** 24,
      ...options.info,
    };
    this.script = options.script ?? [0];
    this.delay = options.delay ?? 0;
    this.failAfter = options.failAfter ?? Infinity;
    this.error = options.error ?? new EngineError("failed", "The fake engine was told to fail.");
    this.capacity = options.capacity ?? Infinity;
    this.state = options.state ?? "ready";
    this.progress = options.progress ?? (this.state === "loading" ? 0 : 1);
    this.queuedSeconds = options.queuedSeconds;
    this.ready = this.#ready.promise;
    this.lost = this.#lost.promise;
    // A test that never looks at `ready` must not die of an unhandled rejection.
    this.ready.catch(() => {});
    if (this.state !== "loading") this.#ready.resolve(this.info);
  }

  get running(): number {
    return this.requests.filter((entry) => entry.outcome === "running").length;
  }

  get cancellations(): number {
    return this.requests.filter((entry) => entry.outcome === "cancelled").length;
  }

  finishLoading(): void {
    this.state = "ready";
    this.progress = 1;
    this.#ready.resolve(this.info);
  }

  failLoading(error: Error): void {
    this.state = "lost";
    this.#ready.reject(error);
  }

  /** From here on every request, running ones too, fails with "lost". */
  lose(reason: string): void {
    this.state = "lost";
    this.#closing.abort(new EngineError("lost", reason));
    this.#lost.resolve(reason);
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    this.#admit(request);
    const entry: FakeRequest = { request, tokens: 0, outcome: "running" };
    this.requests.push(entry);
    const stops = [this.#closing.signal, ...(signal ? [signal] : [])];
    try {
      if (request.promptLogprobs) {
        const logprobs = request.prompt.map((_, i) => i === 0 ? null : -i / 4);
        const top = request.prompt.map((id, i) => i === 0 ? [] : this.#top(request, id, -i / 4));
        yield { type: "prompt", logprobs, top };
      }
      for (let index = 0;; index++) {
        await pause(this.delay, stops);
        if (index >= this.failAfter) throw this.error;
        const event = this.#token(request, index);
        entry.tokens++;
        this.#rows++;
        if (event.finish) entry.outcome = "finished";
        yield event;
        if (event.finish) return;
      }
    } catch (error) {
      entry.outcome = signal?.aborted ? "cancelled" : "failed";
      throw error;
    } finally {
      if (entry.outcome === "running") entry.outcome = "cancelled";
      if (this.running === 0) this.#idle.splice(0).forEach((resolve) => resolve());
    }
  }

  stats(): EngineStats {
    return {
      ...NO_COUNTS,
      state: this.state,
      progress: this.progress,
      running: this.running,
      waiting: this.waiting,
      rows: this.#rows,
      blocksUsed: this.running,
      blocksTotal: 64,
    };
  }

  async drain(): Promise<void> {
    this.state = "draining";
    if (this.running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  close(): Promise<void> {
    this.state = "closed";
    this.#closing.abort(new EngineError("lost", "The engine is closed."));
    return Promise.resolve();
  }

  #admit(request: GenerateRequest): void {
    const refusal = REFUSALS[this.state];
    if (refusal) throw new EngineError(...refusal);
    if (this.running >= this.capacity) throw new EngineError("busy", "The model is overloaded.");
    const { vocabSize, maxPositions } = this.info;
    const { prompt, maxNewTokens } = request;
    if (prompt.length === 0 || maxNewTokens < 1 || prompt.some((id) => !(id < vocabSize))) {
      throw new EngineError("invalid", "The fake engine was given an impossible request.");
    }
    if (prompt.length + maxNewTokens > maxPositions) {
      throw new EngineError("invalid", `Prompt and answer exceed ${maxPositions} tokens.`);
    }
  }

  #token(request: GenerateRequest, index: number): TokenEvent & { type: "token" } {
    const { script } = this;
    const scripted = typeof script === "function"
      ? script(request, index)
      : script[index % script.length]!;
    const token: ScriptedToken = typeof scripted === "number" ? { id: scripted } : scripted;
    const logprob = token.logprob ?? -0.5;
    const processedLogprob = token.processedLogprob ?? logprob;
    const event: TokenEvent & { type: "token" } = {
      type: "token",
      id: token.id,
      logprob,
      processedLogprob,
      top: token.top ?? this.#top(request, token.id, logprob),
      processedTop: token.processedTop ?? this.#top(request, token.id, processedLogprob),
    };
    const { queuedSeconds } = this;
    if (index === 0 && queuedSeconds !== undefined) event.queuedSeconds = queuedSeconds;
    if (token.cachedTokens !== undefined && index === 0) event.cachedTokens = token.cachedTokens;
    if (request.stopTokens.includes(token.id)) event.finish = "stop_token";
    else if (index + 1 === request.maxNewTokens) event.finish = "length";
    return event;
  }

  #top({ topTokens }: GenerateRequest, id: number, best: number): TokenLogprob[] {
    const { vocabSize } = this.info;
    return Array.from(
      { length: topTokens },
      (_, i) => ({ id: (id + i) % vocabSize, logprob: best - i }),
    );
  }
}

/** Waits `delay` ms, or throws the reason of the first signal that is aborted meanwhile. */
async function pause(delay: number, signals: AbortSignal[]): Promise<void> {
  const signal = AbortSignal.any(signals);
  // The timer rejects with an error of its own; the signal knows the reason.
  if (delay > 0) await sleep(delay, undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
}
