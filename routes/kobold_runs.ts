/**
 * KoboldAI's view of what the server is doing: answers in progress by their client's key, and the
 * figures of the last one.
 *
 * Knows keys, texts and times. Knows no HTTP and no model.
 */

/** An answer in progress; disposed of once it has ended. */
export class KoboldRun implements Disposable {
  /** As far as it is certain. */
  text = "";
  readonly #abort = new AbortController();
  readonly #end: () => void;

  constructor(readonly key: string, end: () => void) {
    this.#end = end;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get aborted(): boolean {
    return this.signal.aborted;
  }

  abort(): void {
    this.#abort.abort();
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}

/** Figures of a finished answer. */
export interface KoboldFigures {
  /** Seconds until the first token, and from there to the end. */
  process: number;
  generate: number;
  promptTokens: number;
  tokens: number;
  seed: number;
  reason: keyof typeof STOP_REASONS;
}

const STOP_REASONS = { length: 0, eos_token: 1, stop_sequence: 2 };

export class KoboldRuns {
  readonly #running = new Set<KoboldRun>();
  readonly #start = performance.now();
  #last: KoboldFigures | undefined;
  #lastEnd = this.#start;
  #finished = 0;

  begin(key: string): KoboldRun {
    const run = new KoboldRun(key, () => {
      this.#running.delete(run);
      this.#lastEnd = performance.now();
    });
    this.#running.add(run);
    return run;
  }

  finish(figures: KoboldFigures): void {
    this.#finished++;
    this.#last = figures;
  }

  /** Ends the answers with this key; whether there were any. */
  abort(key: string): boolean {
    const found = this.#find(key);
    for (const run of found) run.abort();
    return found.length > 0;
  }

  /** The text so far of the newest answer with this key, "" if there is none. */
  textOf(key: string): string {
    return this.#find(key).at(-1)?.text ?? "";
  }

  /** What `/api/extra/perf` tells; `queue` is for the engine to say. */
  figures(queue: number) {
    const now = performance.now();
    const seconds = (since: number) => Math.round((now - since) / 1000);
    const last = this.#last;
    return {
      last_process: last?.process ?? 0,
      last_eval: last?.generate ?? 0,
      last_token_count: last?.tokens ?? 0,
      last_input_count: last?.promptTokens ?? 0,
      last_seed: last?.seed ?? -1,
      stop_reason: last ? STOP_REASONS[last.reason] : -1,
      total_gens: this.#finished,
      queue,
      idle: this.#running.size === 0 ? 1 : 0,
      hordeexitcounter: -1,
      uptime: seconds(this.#start),
      idletime: this.#running.size === 0 ? seconds(this.#lastEnd) : 0,
      quiet: true,
    };
  }

  #find(key: string): KoboldRun[] {
    return [...this.#running].filter((run) => run.key === key);
  }
}
