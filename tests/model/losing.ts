/** Puts `losing_worker.ts` in the place of the engine's worker, in this process. */

/** From here on engines get a GPU that can be lost. */
export interface Losing extends Disposable {
  /** Destroys the GPU device of the engine started last. */
  lose(): void;
  /** Makes the GPU report an error. */
  err(): void;
  /** What was thrown in its worker and caught by nobody; its stack has been printed. */
  readonly uncaught: string[];
}

/** Disposing of it gives later engines their own worker back. */
export function losing(): Losing {
  const { Worker } = globalThis;
  const uncaught: string[] = [];
  let last: Worker | undefined;
  globalThis.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      if (!String(url).endsWith("/model/engine_worker.ts")) throw new Error(`not expected: ${url}`);
      super(new URL("./losing_worker.ts", import.meta.url), options);
      this.addEventListener("error", (event) => uncaught.push(event.message));
      last = this;
    }
  };
  return {
    lose: () => last!.postMessage({ type: "lose" }),
    err: () => last!.postMessage({ type: "err" }),
    uncaught,
    [Symbol.dispose]: () => void (globalThis.Worker = Worker),
  };
}
