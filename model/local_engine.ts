/**
 * The engine whose GPU is in this machine: the HTTP thread's half of it.
 *
 * Knows the worker's messages, who may come in, cancellation, and what becomes of requests when the
 * worker fails. Knows no GPU, text or HTTP.
 */
import { CheckpointError } from "./checkpoint/error.ts";
import {
  type Engine,
  EngineError,
  type EngineInfo,
  type EngineState,
  type EngineStats,
  type GenerateRequest,
  type TokenEvent,
} from "./engine.ts";
import { EngineCounters } from "./engine_counters.ts";
import { EngineThread } from "./engine_thread.ts";
import type { LocalEngineOptions } from "./local_engine_options.ts";
import type { FromWorker } from "./messages.ts";
import { QueueLimits } from "./queue_limits.ts";
import { isLast, TokenStream } from "./token_stream.ts";

export type { LocalEngineOptions };
/** Starts the worker and begins to load; `ready` tells how that went. */
export function startLocalEngine(options: LocalEngineOptions): Engine {
  return new LocalEngine(options);
}

class LocalEngine implements Engine {
  readonly ready: Promise<EngineInfo>;
  readonly lost: Promise<string>;
  #state: EngineState = "loading";
  #progress = 0;
  #nextId = 1;
  #streams = new Map<number, TokenStream>();
  #counters = new EngineCounters();
  #options: LocalEngineOptions;
  #limits: QueueLimits;
  #thread: EngineThread;
  #ready = Promise.withResolvers<EngineInfo>();
  #isLoaded = false;
  #lost = Promise.withResolvers<string>();
  #idle: (() => void)[] = [];

  constructor(options: LocalEngineOptions) {
    this.#options = options;
    this.#limits = new QueueLimits(options.queueLimit);
    this.ready = this.#ready.promise;
    this.lost = this.#lost.promise;
    this.ready.catch(() => {}); // whoever never looks must not die of it
    this.#thread = this.#start();
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    this.#admit();
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const { unreadEvents, queueSeconds = Infinity } = this.#options;
    const stream = new TokenStream(request, unreadEvents);
    const abort = () => {
      if (!stream.hasFailed) this.#counters.cancelled[stream.phase]++;
      stream.fail(signal!.reason);
      this.#cancel(id);
    };
    try {
      signal?.addEventListener("abort", abort, { once: true });
      this.#streams.set(id, stream);
      stream.expectWithin(queueSeconds, () => this.#expire(id, stream));
      this.#thread.send({ type: "generate", id, request });
      for (;;) {
        const event = await stream.next();
        yield event;
        if (isLast(event)) return;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      stream.stopWaiting();
      this.#cancel(id);
    }
  }

  stats(): EngineStats {
    const counted = this.#counters.read(this.#isOver);
    return { state: this.#state, progress: this.#progress, ...counted };
  }

  async drain(): Promise<void> {
    if (this.#state === "ready" || this.#state === "loading") this.#state = "draining";
    if (this.#streams.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    const wasOver = this.#isOver;
    this.#end("closed", "The engine is closed.");
    await this.#thread.end(!wasOver);
  }

  get #isOver(): boolean {
    return this.#state === "lost" || this.#state === "closed";
  }

  #start(): EngineThread {
    const { model, kvBytes, slots, maxBindingBytes, path, fault } = this.#options;
    const { numbers, deterministic, promptLookup } = this.#options;
    const load = { model, kvBytes, slots, maxBindingBytes, path, numbers, deterministic };
    const isFaulty = fault !== undefined && this.#counters.restarts < fault.workers;
    return new EngineThread(
      { ...load, promptLookup, fault: isFaulty ? fault : undefined },
      this.#counters.shared,
      (message) => this.#receive(message),
    );
  }

  #admit(): void {
    if (this.#state === "loading") throw new EngineError("loading", "The model is still loading.");
    if (this.#state === "draining") {
      throw new EngineError("draining", "The server is shutting down.");
    }
    if (this.#state !== "ready") throw new EngineError("lost", "The model is no longer available.");
    if (this.#limits.isFull(this.#streams.size)) {
      this.#counters.refusedFull++;
      throw this.#busy("Too many requests are waiting.");
    }
  }

  #busy(message: string): EngineError {
    const waiting = this.#streams.values().filter(({ phase }) => phase === "queued");
    return new EngineError("busy", message, this.#limits.retryAfter([...waiting].length));
  }

  /** A request has waited too long for its turn. */
  #expire(id: number, stream: TokenStream): void {
    this.#counters.refusedLate++;
    stream.fail(this.#busy("The request waited too long for its turn."));
    this.#cancel(id);
  }

  #receive(message: FromWorker): void {
    if (this.#isOver) return;
    switch (message.type) {
      case "progress":
        this.#progress = message.done / message.total;
        if (this.#isLoaded) break; // whoever shows it has seen the end of it
        this.#options.onProgress?.({ stage: "weights", done: message.done, total: message.total });
        break;
      case "ready":
        this.#begin(message.info);
        break;
      case "unloadable":
        if (this.#isLoaded) return this.#lose(message.message);
        this.#ready.reject(
          message.isCheckpoint ? new CheckpointError(message.message) : new Error(message.message),
        );
        this.#end("lost", "The model could not be loaded.");
        break;
      case "begun":
        this.#streams.get(message.id)?.begin();
        break;
      case "event":
        this.#deliver(message.id, message.event);
        break;
      case "refused":
        this.#fail(message.id, new EngineError(message.code, message.message));
        break;
      case "lost":
        this.#lose(message.reason);
        break;
    }
  }

  /** The model is there, for the first time or again. */
  #begin(info: EngineInfo): void {
    this.#progress = 1;
    this.#limits.slots = info.slots;
    if (this.#state === "loading") this.#state = "ready";
    if (this.#isLoaded) this.#options.onNote?.("The model is loaded again.");
    this.#isLoaded = true;
    this.#ready.resolve(info);
    // Those who waited when the last worker failed.
    for (const [id, { request }] of this.#streams) {
      this.#thread.send({ type: "generate", id, request });
    }
  }

  #deliver(id: number, event: TokenEvent): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    if (!stream.push(event)) {
      this.#counters.cancelled.writing++;
      stream.fail(new EngineError("unread", "The answer was not read."));
      this.#cancel(id);
    }
    // From here on it is only read: it takes no place in the queue, and nobody drains for it.
    if (isLast(event)) this.#forget(id);
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    const { restarts = 0 } = this.#options;
    if (this.#isLoaded && this.#counters.restarts < restarts) return void this.#restart(reason);
    this.#ready.reject(new Error(reason));
    this.#lost.resolve(reason);
    this.#end("lost", "The GPU was lost.");
  }

  /**
   * Ends the answers that had begun, and loads the model into a new worker. Requests that wait keep
   * their place: the fault cannot be theirs, and their own deadline bounds the wait.
   */
  async #restart(reason: string): Promise<void> {
    this.#options.onNote?.(`The GPU failed, and the model is loaded again: ${reason}`);
    if (this.#state === "ready") this.#state = "loading";
    this.#progress = 0;
    for (const [id, { phase }] of this.#streams) {
      if (phase !== "queued") this.#fail(id, new EngineError("failed", "The GPU failed."));
    }
    this.#counters.restart(this.#streams.size);
    await this.#thread.end(false);
    if (!this.#isOver) this.#thread = this.#start();
  }

  /** Fails every stream, and whoever waits for what will not come. */
  #end(state: "lost" | "closed", message: string): void {
    this.#state = state;
    const error = new EngineError("lost", message);
    this.#ready.reject(error);
    for (const id of this.#streams.keys()) this.#fail(id, error);
  }

  #fail(id: number, error: EngineError): void {
    this.#streams.get(id)?.fail(error);
    this.#forget(id);
  }

  /** Stops the work for a stream, if there is any left. */
  #cancel(id: number): void {
    if (!this.#streams.has(id)) return;
    this.#thread.send({ type: "cancel", id });
    this.#forget(id);
  }

  #forget(id: number): void {
    const seconds = this.#streams.get(id)?.runningSeconds ?? 0;
    if (seconds > 0) this.#limits.note(seconds);
    this.#streams.delete(id);
    if (this.#streams.size === 0) this.#idle.splice(0).forEach((resolve) => resolve());
  }
}
