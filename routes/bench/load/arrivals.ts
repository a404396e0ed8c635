/**
 * When requests are sent: so many at a time, or as they come at random.
 *
 * Knows closed loops (a stream that ends is followed by the next) and Poisson arrivals. Knows not
 * what a request is.
 */
export interface Bounds {
  /** Requests in all, and milliseconds after which no more are sent. */
  requests: number;
  milliseconds: number;
  /** No more are sent once it is aborted. */
  signal: AbortSignal;
}

/** Keeps `streams` requests under way; resolves when the last one has ended. */
export async function closedLoop(
  streams: number,
  { requests, milliseconds, signal }: Bounds,
  send: () => Promise<void>,
): Promise<void> {
  const until = performance.now() + milliseconds;
  let sent = 0;
  const lane = async () => {
    while (sent < requests && performance.now() < until && !signal.aborted) {
      sent++;
      await send();
    }
  };
  await Promise.all(Array.from({ length: streams }, lane));
}

/** Sends about `rate` requests a second, without waiting for any; resolves when all have ended. */
export async function poisson(
  rate: number,
  { requests, milliseconds, signal }: Bounds,
  send: () => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const running: Promise<void>[] = [];
  let at = started;
  while (running.length < requests) {
    at += -Math.log(1 - Math.random()) / rate * 1000;
    if (at - started > milliseconds) break;
    await pause(at - performance.now(), signal);
    if (signal.aborted) break;
    running.push(send());
  }
  await Promise.all(running);
}

/** Waits, or less if the signal is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}
