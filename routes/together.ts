/**
 * Values of an async generator that are there at the same time, in lists.
 *
 * Knows nothing of what they are. A burst of tokens then costs one write and one read, not one each;
 * nothing waits for what is not there yet.
 */
import { setImmediate } from "node:timers";

/** The longest list: a reader who is slow holds back the generator after so many. */
const LONGEST = 64;

/** Leaving the loop waits for a pending `next()` of `source`: whoever leaves makes that settle. */
export async function* together<Value>(source: AsyncGenerator<Value>): AsyncGenerator<Value[]> {
  let pending = source.next();
  try {
    for (;;) {
      let next: IteratorResult<Value> | undefined = await pending;
      const list: Value[] = [];
      while (next && !next.done) {
        list.push(next.value);
        pending = source.next();
        // What fails is awaited once more, when this list is out.
        const there = pending.catch(() => undefined);
        next = list.length < LONGEST ? await Promise.race([there, moment()]) : undefined;
      }
      if (list.length > 0) yield list;
      if (next?.done) return;
    }
  } finally {
    await source.return(undefined);
  }
}

/** The end of what this thread can do without waiting. */
function moment(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)));
}
