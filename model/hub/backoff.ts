/**
 * Trying again: how often, and after how long.
 *
 * Knows which statuses pass by themselves, and Retry-After. Knows nothing of what is tried.
 */
import { HubError } from "./error.ts";

/** Failures in a row that are forgiven. */
const TRIES = 5;

/** Something that may work in a while. */
export class Transient extends Error {
  override name = "Transient";

  /**
   * @param seconds after how long, if the server told
   * @param tries how often it is worth another try
   */
  constructor(message: string, readonly seconds?: number, readonly tries = TRIES) {
    super(message);
  }
}

export interface Patience {
  /** Waits; tests do not. Rejects with the signal's reason. */
  wait?: ((seconds: number, signal: AbortSignal) => Promise<void>) | undefined;
  /** Told of each wait. */
  onRetry?: ((reason: string, seconds: number) => void) | undefined;
}

/** Seconds; each further wait is twice as long. */
const FIRST_WAIT = 0.5;
/** A server that asks for more is not waited for. */
const LONGEST_WAIT = 600;

/** Counts the failures in a row of one piece of work. */
export class Backoff {
  #failures = 0;

  constructor(private readonly patience: Patience, private readonly signal: AbortSignal) {}

  /** Something came through: what failed before does not count any more. */
  succeeded(): void {
    this.#failures = 0;
  }

  /**
   * Waits before the next try.
   *
   * @throws what failed, if another try is of no use
   * @throws {HubError} after too many failures, or when the server asks for too long a wait
   */
  async failed(error: unknown): Promise<void> {
    this.signal.throwIfAborted();
    if (!(error instanceof Transient)) throw error;
    const { message } = error;
    if (++this.#failures > error.tries) {
      throw new HubError(`${message}, ${this.#failures} times in a row. Try again later.`);
    }
    const seconds = error.seconds ?? FIRST_WAIT * 2 ** (this.#failures - 1);
    if (seconds > LONGEST_WAIT) {
      throw new HubError(`${message} and wants no other request for ${seconds} seconds.`);
    }
    this.patience.onRetry?.(message, seconds);
    await (this.patience.wait ?? wait)(seconds, this.signal);
  }
}

/** Does it until it works. @throws as `Backoff.failed` */
export async function retrying<Value>(
  work: () => Promise<Value>,
  patience: Patience,
  signal: AbortSignal,
): Promise<Value> {
  const backoff = new Backoff(patience, signal);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await backoff.failed(error);
    }
  }
}

/** Whether a status says "later" rather than "no". */
export function passesByItself(status: number): boolean {
  return [408, 425, 429, 500, 502, 503, 504].includes(status);
}

/** Seconds that a response asks to wait: Retry-After as a number or a date, or the hub's RateLimit. */
export function retryAfter(headers: Headers, now = Date.now()): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text);
  const date = Date.parse(text);
  if (!Number.isNaN(date)) return Math.max(0, Math.ceil((date - now) / 1000));
  const limit = /(?:^|;)\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
  return limit === undefined ? undefined : Number(limit);
}

function wait(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}
