/**
 * An engine that is still being made: "loading" until it is there, then a stand-in for it.
 *
 * Knows the engine boundary. Knows not what takes so long (a built-in checkpoint is written first).
 */
import {
  type Engine,
  EngineError,
  type EngineState,
  type EngineStats,
  type GenerateRequest,
  type TokenEvent,
} from "../model/engine.ts";

/**
 * Counts as lost if `starting` fails; `ready` then rejects with the reason.
 *
 * @param name what clients see as the model: the engine knows a folder, which is not their business
 */
export function deferEngine(starting: Promise<Engine>, name: string): Engine {
  return new DeferredEngine(starting, name);
}

class DeferredEngine implements Engine {
  readonly ready: Engine["ready"];
  readonly lost: Engine["lost"];
  #engine: Engine | undefined;
  #state: EngineState = "loading";

  constructor(starting: Promise<Engine>, name: string) {
    const started = starting.then(async (engine) => {
      this.#engine = engine;
      if (this.#state === "closed") await engine.close();
      else if (this.#state === "draining") await engine.drain();
      return engine;
    });
    this.ready = started.then(async (engine) => ({ ...await engine.ready, model: name }));
    this.ready.catch(() => this.#state = "lost");
    this.lost = new Promise((resolve) => {
      started.then((engine) => engine.lost).then(resolve, () => {});
    });
  }

  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<TokenEvent> {
    if (this.#engine) return this.#engine.generate(request, signal);
    throw this.#state === "loading"
      ? new EngineError("loading", "The model is loading.")
      : new EngineError("lost", "There is no model.");
  }

  stats(): EngineStats {
    return this.#engine?.stats() ?? {
      state: this.#state,
      progress: 0,
      running: 0,
      waiting: 0,
      rows: 0,
      blocksUsed: 0,
      blocksTotal: 0,
    };
  }

  async drain(): Promise<void> {
    if (this.#state === "loading") this.#state = "draining";
    await this.#engine?.drain();
  }

  async close(): Promise<void> {
    this.#state = "closed";
    await this.#engine?.close();
  }
}
