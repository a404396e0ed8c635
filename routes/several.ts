/**
 * Several answers to one request, computed at the same time; what the first computes of the prompt,
 * the engine lets the others share.
 *
 * Knows how many may be under way, and what becomes of those that find no place. Knows no API.
 */
import { EngineError } from "../model/engine.ts";

/** Begins an answer, which may be tried once more as long as it has given nothing. */
export type Start<Value> = (signal: AbortSignal) => AsyncGenerator<Value>;

interface Arrival<Value> {
  nth: number;
  result?: IteratorResult<Value>;
  error?: unknown;
}

/**
 * The values of all answers as they come, each with its answer's number. Each answer has a place of
 * its own in the engine's queue; one that finds none waits until another of them has ended, so that
 * the request is refused only where not even one of its answers is let in.
 *
 * @param most answers under way at a time
 * @throws what the first of them to fail throws; the others are ended
 */
export async function* severalAnswers<Value>(
  starts: readonly Start<Value>[],
  most: number,
  signal: AbortSignal,
): AsyncGenerator<[nth: number, value: Value]> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const waiting = [...starts.keys()];
  const running = new Map<number, AsyncGenerator<Value>>();
  const begun = new Set<number>();
  const arrived: Arrival<Value>[] = [];
  let places = most;
  let wake = () => {};

  const take = async (nth: number) => {
    const arrival: Arrival<Value> = { nth };
    try {
      arrival.result = await running.get(nth)!.next();
    } catch (error) {
      arrival.error = error;
    }
    arrived.push(arrival);
    wake();
  };

  try {
    while (waiting.length > 0 || running.size > 0) {
      while (waiting.length > 0 && running.size < places) {
        const nth = waiting.shift()!;
        running.set(nth, starts[nth]!(both));
        take(nth);
      }
      if (arrived.length === 0) await new Promise<void>((resolve) => wake = resolve);
      for (const { nth, result, error } of arrived.splice(0)) {
        if (result && !result.done) {
          begun.add(nth);
          yield [nth, result.value];
          take(nth);
          continue;
        }
        running.delete(nth);
        if (result) continue;
        if (!isBusy(error) || begun.has(nth) || running.size === 0) throw error;
        waiting.unshift(nth);
        places = running.size;
      }
    }
  } finally {
    over.abort();
    await Promise.allSettled(running.values().map((answer) => answer.return(undefined)));
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof EngineError && error.code === "busy";
}
