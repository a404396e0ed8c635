/**
 * Simulated time: what is to happen, in order.
 *
 * Knows a heap of actions by time; of two at one time, the one that was planned first. Knows nothing
 * of what happens.
 */

interface Entry {
  at: number;
  order: number;
  action: () => void;
}

export class Timeline {
  /** Seconds since the beginning. */
  now = 0;
  #heap: Entry[] = [];
  #planned = 0;

  /** @throws {RangeError} for a time that is past, or none */
  plan(at: number, action: () => void): void {
    if (!(at >= this.now)) throw new RangeError(`Nothing can happen at ${at}: it is ${this.now}.`);
    const heap = this.#heap;
    const entry = { at, order: this.#planned++, action };
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = entry;
  }

  /** Lets happen all that is planned up to `end`, and what follows from it; then it is `end`. */
  runUntil(end: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= end) {
      const { at, action } = this.#first();
      this.now = at;
      action();
    }
    this.now = end;
  }

  #first(): Entry {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
