/**
 * One worker with its GPU, from its start to its end.
 *
 * Knows how a worker is ended without harm to the process. Knows no request.
 */
import type { FromWorker, LoadOptions, ToWorker } from "./messages.ts";

/** How long a worker may take to give the GPU back. */
const CLOSE_MILLISECONDS = 5000;
const THREAD_END_MILLISECONDS = 150;

export class EngineThread {
  readonly #worker: Worker;
  readonly #closed = Promise.withResolvers<void>();
  #ended: Promise<void> | undefined;

  /**
   * Starts the worker, which begins to load.
   *
   * @param receive gets its messages until it is told to end
   */
  constructor(
    options: LoadOptions,
    counters: SharedArrayBuffer,
    receive: (message: FromWorker) => void,
  ) {
    this.#worker = new Worker(new URL("./engine_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "closed") this.#closed.resolve();
      else if (!this.#ended) receive(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#closed.resolve(); // it is gone, and says nothing more
      if (!this.#ended) {
        receive({ type: "lost", reason: `The GPU worker stopped: ${event.message}` });
      }
    };
    this.send({ type: "load", options, counters });
  }

  send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /**
   * Ends the worker.
   *
   * @param isWell whether it can still give the GPU back by itself
   */
  end(isWell: boolean): Promise<void> {
    this.#ended ??= this.#end(isWell);
    return this.#ended;
  }

  async #end(isWell: boolean): Promise<void> {
    if (isWell) {
      this.send({ type: "close" });
      const patience = setTimeout(this.#closed.resolve, CLOSE_MILLISECONDS);
      await this.#closed.promise;
      clearTimeout(patience);
    }
    this.#worker.terminate();
    // NVIDIA's driver crashes a process that exits while the worker's thread is still ending.
    await new Promise((resolve) => setTimeout(resolve, THREAD_END_MILLISECONDS));
  }
}
