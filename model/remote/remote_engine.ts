/**
 * The engine whose GPUs are elsewhere: it hands each request to one of several sidecars.
 *
 * Knows which of them to ask, and what to do when one fails. Knows no GPU and no text.
 */
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
} from "../engine.ts";
import { affinityKey, inOrder } from "./choice.ts";
import { SidecarError } from "./client.ts";
import { Sidecar } from "./sidecar.ts";

export interface RemoteEngineOptions {
  /** The sidecars, without a slash at the end. */
  urls: readonly string[];
  /** Their sidecar key. */
  key: string;
  /** Of the edge's own text side; only sidecars that say the same are used. */
  fingerprint: Promise<string>;
  /** Told in a sentence when a sidecar comes, goes, or does not fit. */
  onNote?: (sentence: string) => void;
}

/** No sidecar that works was found for all the requests that this one was tried on. */
const NOBODY = "None of the GPU servers answers now.";

/**
 * Begins to look for the sidecars and returns at once. `ready` resolves with what the first usable
 * one runs, and rejects only when none of them fits; `lost` never resolves, for they may come back.
 */
export function connectRemoteEngine(options: RemoteEngineOptions): Engine {
  return new RemoteEngine(options);
}

class RemoteEngine implements Engine {
  readonly ready: Promise<EngineInfo>;
  readonly lost: Promise<string> = new Promise(() => {});
  #ready = Promise.withResolvers<EngineInfo>();
  #sidecars: Sidecar[] = [];
  #closing = new AbortController();
  #state: EngineState = "loading";
  /** One a stream, to end it by. */
  #streams = new Set<AbortController>();
  #idle: (() => void)[] = [];

  constructor(options: RemoteEngineOptions) {
    this.ready = this.#ready.promise;
    this.ready.catch(() => {}); // whoever never looks must not die of it
    options.fingerprint.then(
      (fingerprint) => this.#connect(options, fingerprint),
      (error) => this.#ready.reject(error),
    );
  }

  #connect({ urls, key, onNote = () => {} }: RemoteEngineOptions, fingerprint: string): void {
    const onChange = () => this.#settle();
    this.#sidecars = urls.map((url) => new Sidecar(url, { key, fingerprint, onChange, onNote }));
    for (const sidecar of this.#sidecars) sidecar.watch(this.#closing.signal);
  }

  /** Sees whether it is known by now what the sidecars run, or that none of them ever will. */
  #settle(): void {
    if (this.#state !== "loading") return;
    const usable = this.#usable()[0];
    if (usable) {
      this.#state = "ready";
      this.#ready.resolve(usable.info!);
    } else if (this.#sidecars.every(({ standing }) => standing === "unfit")) {
      const reasons = this.#sidecars.map(({ url, reason }) => `${url} ${reason}.`);
      this.#ready.reject(new Error(reasons.join(" ")));
    }
  }

  #usable(): Sidecar[] {
    return this.#sidecars.filter(({ standing }) => standing === "usable");
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    this.#admit();
    signal?.throwIfAborted();
    const end = new AbortController();
    const stop = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
    const key = affinityKey(request);
    const tried = new Set<Sidecar>();
    let refusal = new EngineError("unavailable", NOBODY);
    const said = { prompt: false, token: false };
    this.#streams.add(end);
    try {
      for (;;) {
        const untried = this.#usable().filter((sidecar) => !tried.has(sidecar));
        const sidecar = inOrder(key, untried)[0];
        if (sidecar === undefined) throw refusal;
        tried.add(sidecar);
        sidecar.inFlight++;
        try {
          for await (const event of sidecar.client.generate(request, stop)) {
            // A second sidecar begins anew, and so would the prompt's log-probabilities.
            if (event.type === "prompt" && said.prompt) continue;
            said[event.type] = true;
            yield event;
          }
          return;
        } catch (error) {
          stop.throwIfAborted();
          if (!isOnlyThere(error)) throw error;
          sidecar.failed(error);
          if (said.token) {
            throw new EngineError("lost", "The GPU server went away in the middle of the answer.");
          }
          if (error instanceof EngineError && error.code === "busy") refusal = error;
        } finally {
          sidecar.inFlight--;
        }
      }
    } finally {
      this.#streams.delete(end);
      if (this.#streams.size === 0) this.#idle.splice(0).forEach((resolve) => resolve());
    }
  }

  stats(): EngineStats {
    const sum: EngineStats = {
      state: this.#state === "ready" && this.#usable().length === 0 ? "unavailable" : this.#state,
      progress: this.#state === "loading"
        ? Math.max(0, ...this.#sidecars.map(({ progress }) => progress))
        : 1,
      ...NO_COUNTS,
    };
    for (const { stats } of this.#sidecars) {
      if (stats === undefined) continue;
      const { state: _, progress: __, ...figures } = stats;
      for (const [name, value] of Object.entries(figures)) {
        sum[name as keyof typeof figures] += value;
      }
    }
    return sum;
  }

  async drain(): Promise<void> {
    if (this.#state === "ready" || this.#state === "loading") this.#state = "draining";
    if (this.#streams.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  close(): Promise<void> {
    this.#state = "closed";
    const error = new EngineError("lost", "The engine is closed.");
    this.#ready.reject(error);
    this.#closing.abort();
    for (const stream of this.#streams) stream.abort(error);
    return Promise.resolve();
  }

  #admit(): void {
    switch (this.#state) {
      case "loading":
        throw new EngineError("loading", "No GPU server was found yet.");
      case "draining":
        throw new EngineError("draining", "The server is shutting down.");
      case "closed":
        throw new EngineError("lost", "The engine is closed.");
    }
  }
}

/** What is wrong with the request, its numbers or its client is wrong everywhere. */
const EVERYWHERE: readonly EngineErrorCode[] = ["invalid", "failed", "unread"];

/** Whether another sidecar may do better. */
function isOnlyThere(error: unknown): error is EngineError | SidecarError {
  return error instanceof SidecarError ||
    error instanceof EngineError && !EVERYWHERE.includes(error.code);
}
