/**
 * What an engine counts, over all its workers.
 *
 * Knows the places that a worker writes to, and what only this side of it sees. Knows no request.
 */
import type { EngineStats } from "./engine.ts";
import { COUNTER_BYTES, COUNTERS } from "./messages.ts";
import type { Phase } from "./token_stream.ts";

export class EngineCounters {
  cancelled: Record<Phase, number> = { queued: 0, prefill: 0, decode: 0, writing: 0 };
  refusedFull = 0;
  refusedLate = 0;
  restarts = 0;
  #shared = new SharedArrayBuffer(COUNTER_BYTES);
  /** What workers that failed had counted. */
  #before = new Float64Array(COUNTER_BYTES / 8);

  /** What the present worker writes. */
  get shared(): SharedArrayBuffer {
    return this.#shared;
  }

  /** Begins anew for another worker, for which so many requests wait. */
  restart(waiting: number): void {
    this.restarts++;
    new Float64Array(this.#shared).forEach((count, place) => this.#before[place] += count);
    this.#shared = new SharedArrayBuffer(COUNTER_BYTES);
    new Float64Array(this.#shared)[COUNTERS.waiting] = waiting;
  }

  /** @param isOver whether the last worker has stopped: what it did last is not done any more */
  read(isOver: boolean): Omit<EngineStats, "state" | "progress"> {
    const counters = new Float64Array(this.#shared);
    const now = (place: number) => isOver ? 0 : counters[place];
    const ever = (place: number) => this.#before[place] + counters[place];
    return {
      running: now(COUNTERS.running),
      waiting: now(COUNTERS.waiting),
      rows: ever(COUNTERS.rows),
      steps: ever(COUNTERS.steps),
      blocksUsed: now(COUNTERS.blocksUsed),
      blocksTotal: counters[COUNTERS.blocksTotal],
      prefixQueries: ever(COUNTERS.prefixQueries),
      prefixHits: ever(COUNTERS.prefixHits),
      guessesMade: ever(COUNTERS.guessesMade),
      guessesRight: ever(COUNTERS.guessesRight),
      cancelledQueued: this.cancelled.queued,
      cancelledPrefill: this.cancelled.prefill,
      cancelledDecode: this.cancelled.decode,
      cancelledWriting: this.cancelled.writing,
      refusedFull: this.refusedFull,
      refusedLate: this.refusedLate,
      restarts: this.restarts,
    };
  }
}
