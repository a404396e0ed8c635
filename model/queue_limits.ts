/**
 * How many requests may be in hand, and when one that is refused should come back.
 *
 * Knows counts and times. Knows no request.
 */

/** Bounds of what is told, in seconds. */
const SOONEST = 1;
const LATEST = 60;

/** Share of the newest time in the mean. */
const WEIGHT = 0.2;

export class QueueLimits {
  /** Requests that are computed together at most. */
  slots = 1;
  #meanSeconds: number | undefined;

  /** @param waiting requests that may wait behind those that run */
  constructor(private readonly waiting: number) {}

  isFull(requests: number): boolean {
    return requests >= this.slots + this.waiting;
  }

  /** Notes how long a request has run. */
  note(seconds: number): void {
    this.#meanSeconds = this.#meanSeconds === undefined
      ? seconds
      : (1 - WEIGHT) * this.#meanSeconds + WEIGHT * seconds;
  }

  /**
   * Whole seconds until so many waiting requests have had their turn, as far as one can tell from
   * how long those before them ran; from 1 to 60.
   */
  retryAfter(waiting: number): number {
    const seconds = Math.ceil(waiting * (this.#meanSeconds ?? 0) / this.slots);
    return Math.min(Math.max(seconds, SOONEST), LATEST);
  }
}
