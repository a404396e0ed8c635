/**
 * An engine that is still being made: "loading" until it is there, then a stand-in for it.
 *
 * Knows the engine boundary. Knows not what takes so long: a model is fetched first.
 */
import {
  type Engine,
  EngineError,
  type EngineState,
  type EngineStats,
  type GenerateRequest,
  NO_COUNTS,
  type TokenEvent,
} from "../model/engine.ts";

/** What clients see of a model: the engine knows a folder, which is not their business. */
export interface ModelName {
  name: string;
  revision?: string;
  commit?: string;
}

/**
 * Counts as lost if `starting` fails; `ready` then rejects with the reason.
 *
 * @param named the model's name, known by the time the engine is
 * @param progress how far it is with being made, from 0 to 1
 */
export function deferEngine(
  starting: Promise<Engine>,
  named: Promise<ModelName>,
  progress: () => number = () => 0,
): Engine {
  return new DeferredEngine(starting, named, progress);
}

class DeferredEngine implements Engine {
  readonly ready: Engine["ready"];
  readonly lost: Engine["lost"];
  #engine: Engine | undefined;
  #state: EngineState = "loading";

  constructor(
    starting: Promise<Engine>,
    named: Promise<ModelName>,
    private readonly progress: () => number,
  ) {
    const started = starting.then(async (engine) => {
      this.#engine = engine;
      if (this.#state === "closed") await engine.close();
      else if (this.#state === "draining") await engine.drain();
      return engine;
    });
    named.catch(() => {}); // the engine fails with it
    this.ready = started.then(async (engine) => {
      const info = await engine.ready;
      const { name, revision, commit } = await named;
      return { ...info, model: name, ...revision && { revision }, ...commit && { commit } };
    });
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
      progress: this.progress(),
      ...NO_COUNTS,
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
