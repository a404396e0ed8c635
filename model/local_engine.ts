/**
 * The engine whose GPU is in this machine: the HTTP thread's half of it.
 *
 * Knows the worker's messages, the bounded queue and cancellation. Knows no GPU, text or HTTP.
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
import {
  COUNTER_BYTES,
  COUNTERS,
  type FromWorker,
  type LoadOptions,
  type ToWorker,
} from "./messages.ts";

export interface LocalEngineOptions extends LoadOptions {
  /** Requests that may wait for their turn; one more is refused as "busy". */
  queueLimit: number;
  onProgress?: (progress: { stage: string; done: number; total: number }) => void;
}

/** Starts the worker and begins to load; `ready` tells how that went. */
export function startLocalEngine(options: LocalEngineOptions): Engine {
  return new LocalEngine(options);
}

/** Events of one request, from the worker's messages to whoever reads the stream. */
class Stream {
  #events: TokenEvent[] = [];
  #error: unknown;
  #wake = () => {};

  push(event: TokenEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  fail(error: unknown): void {
    this.#error ??= error;
    this.#wake();
  }

  /** The next event. @throws what `fail` was given; waiting events are dropped then. */
  async next(): Promise<TokenEvent> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const event = this.#events.shift();
      if (event) return event;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** How long a worker may take to give the GPU back. */
const CLOSE_MILLISECONDS = 5000;
const THREAD_END_MILLISECONDS = 150;

class LocalEngine implements Engine {
  readonly ready: Promise<EngineInfo>;
  readonly lost: Promise<string>;
  #state: EngineState = "loading";
  #progress = 0;
  #nextId = 1;
  #slots = 1;
  #streams = new Map<number, Stream>();
  #counters = new SharedArrayBuffer(COUNTER_BYTES);
  #worker: Worker;
  #options: LocalEngineOptions;
  #ready = Promise.withResolvers<EngineInfo>();
  #lost = Promise.withResolvers<string>();
  #closed = Promise.withResolvers<void>();
  #idle: (() => void)[] = [];

  constructor(options: LocalEngineOptions) {
    this.#options = options;
    this.ready = this.#ready.promise;
    this.lost = this.#lost.promise;
    this.ready.catch(() => {}); // whoever never looks must not die of it
    this.#worker = new Worker(new URL("./engine_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#lose(`The GPU worker stopped: ${event.message}`);
    };
    const { model, kvBytes, slots, maxBindingBytes, path } = options;
    const { numberBytes, deterministic, promptLookup } = options;
    const load = { model, kvBytes, slots, maxBindingBytes, path, numberBytes, deterministic };
    this.#send({
      type: "load",
      options: { ...load, promptLookup },
      counters: this.#counters,
    });
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    this.#admit();
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const stream = new Stream();
    const abort = () => {
      stream.fail(signal!.reason);
      this.#cancel(id, true);
    };
    try {
      signal?.addEventListener("abort", abort, { once: true });
      this.#streams.set(id, stream);
      this.#send({ type: "generate", id, request });
      for (;;) {
        const event = await stream.next();
        yield event;
        if (isLast(event)) return;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#cancel(id);
    }
  }

  stats(): EngineStats {
    const counters = new Float64Array(this.#counters);
    // What a worker that stopped was doing last is not being done any more.
    const now = (place: number) => this.#isOver ? 0 : counters[place];
    return {
      state: this.#state,
      progress: this.#progress,
      running: now(COUNTERS.running),
      waiting: now(COUNTERS.waiting),
      rows: counters[COUNTERS.rows],
      steps: counters[COUNTERS.steps],
      blocksUsed: now(COUNTERS.blocksUsed),
      blocksTotal: counters[COUNTERS.blocksTotal],
      prefixQueries: counters[COUNTERS.prefixQueries],
      prefixHits: counters[COUNTERS.prefixHits],
      cancelledQueued: counters[COUNTERS.cancelledQueued],
      cancelledPrefill: counters[COUNTERS.cancelledPrefill],
      cancelledDecode: counters[COUNTERS.cancelledDecode],
      guessesMade: counters[COUNTERS.guessesMade],
      guessesRight: counters[COUNTERS.guessesRight],
    };
  }

  async drain(): Promise<void> {
    if (this.#state === "ready" || this.#state === "loading") this.#state = "draining";
    if (this.#streams.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    const wasOver = this.#isOver;
    this.#end("closed", "The engine is closed.");
    if (!wasOver) {
      this.#send({ type: "close" });
      const patience = setTimeout(this.#closed.resolve, CLOSE_MILLISECONDS);
      await this.#closed.promise;
      clearTimeout(patience);
    }
    this.#worker.terminate();
    // NVIDIA's driver crashes a process that exits while the worker's thread is still ending.
    await new Promise((resolve) => setTimeout(resolve, THREAD_END_MILLISECONDS));
  }

  get #isOver(): boolean {
    return this.#state === "lost" || this.#state === "closed";
  }

  #admit(): void {
    if (this.#state === "loading") throw new EngineError("loading", "The model is still loading.");
    if (this.#state === "draining") {
      throw new EngineError("draining", "The server is shutting down.");
    }
    if (this.#state !== "ready") throw new EngineError("lost", "The model is no longer available.");
    // As many of the streams as there are slots run, the others wait.
    if (this.#streams.size >= this.#slots + this.#options.queueLimit) {
      throw new EngineError("busy", "Too many requests are waiting.");
    }
  }

  #receive(message: FromWorker): void {
    if (message.type === "closed") this.#closed.resolve();
    if (this.#isOver) return;
    switch (message.type) {
      case "progress":
        this.#progress = message.done / message.total;
        this.#options.onProgress?.({ stage: "weights", done: message.done, total: message.total });
        break;
      case "ready":
        this.#progress = 1;
        this.#slots = message.info.slots;
        if (this.#state === "loading") this.#state = "ready";
        this.#ready.resolve(message.info);
        break;
      case "unloadable":
        this.#ready.reject(
          message.isCheckpoint ? new CheckpointError(message.message) : new Error(message.message),
        );
        this.#end("lost", "The model could not be loaded.");
        break;
      case "event":
        this.#streams.get(message.id)?.push(message.event);
        // From here on it is only read: it takes no place in the queue, and nobody drains for it.
        if (isLast(message.event)) this.#forget(message.id);
        break;
      case "refused":
        this.#streams.get(message.id)?.fail(new EngineError(message.code, message.message));
        this.#forget(message.id);
        break;
      case "lost":
        this.#lose(message.reason);
        break;
    }
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.#ready.reject(new Error(reason));
    this.#lost.resolve(reason);
    this.#end("lost", "The GPU was lost.");
  }

  /** Fails every stream, and whoever waits for what will not come. */
  #end(state: "lost" | "closed", message: string): void {
    this.#state = state;
    const error = new EngineError("lost", message);
    this.#ready.reject(error);
    for (const [id, stream] of this.#streams) {
      stream.fail(error);
      this.#forget(id);
    }
  }

  /** Stops the work for a stream, if there is any left. */
  #cancel(id: number, left = false): void {
    if (!this.#streams.has(id)) return;
    this.#send({ type: "cancel", id, left });
    this.#forget(id);
  }

  #forget(id: number): void {
    this.#streams.delete(id);
    if (this.#streams.size === 0) this.#idle.splice(0).forEach((resolve) => resolve());
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}

function isLast(event: TokenEvent): boolean {
  return event.type === "token" && event.finish !== undefined;
}
