/**
 * The events of one request, between the worker's messages and whoever reads them.
 *
 * Knows how far the request has come, how long it may wait for its turn and how much may lie
 * unread. Knows no worker and no other request.
 */
import type { GenerateRequest, TokenEvent } from "./engine.ts";

/** What a request waits for: its turn, its prompt, its next token, or that it is read to its end. */
export type Phase = "queued" | "prefill" | "decode" | "writing";

/** More tokens than any answer of Falcon's has. */
const UNREAD_EVENTS = 4096;

export class TokenStream {
  #phase: Phase = "queued";
  #began = 0;
  #events: TokenEvent[] = [];
  #error: unknown;
  #wake = () => {};
  #deadline: ReturnType<typeof setTimeout> | undefined;

  /** @param unreadLimit events that may lie here at a time */
  constructor(readonly request: GenerateRequest, private readonly unreadLimit = UNREAD_EVENTS) {}

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether it was told to end before its time. */
  get hasFailed(): boolean {
    return this.#error !== undefined;
  }

  /** Seconds since it began; 0 before. */
  get runningSeconds(): number {
    return this.#phase === "queued" ? 0 : (performance.now() - this.#began) / 1000;
  }

  /** Calls `late` if it has not begun in so many seconds. */
  expectWithin(seconds: number, late: () => void): void {
    // A longer timer would fire at once.
    if (seconds * 1000 < 2 ** 31) this.#deadline = setTimeout(late, seconds * 1000);
  }

  /** Its first rows are being computed. */
  begin(): void {
    if (this.#phase !== "queued") return;
    this.stopWaiting();
    this.#phase = "prefill";
    this.#began = performance.now();
  }

  stopWaiting(): void {
    clearTimeout(this.#deadline);
  }

  /** Takes an event, if there is room for it. */
  push(event: TokenEvent): boolean {
    if (this.#events.length >= this.unreadLimit) return false;
    this.begin();
    if (event.type === "token") {
      this.#phase = isLast(event) ? "writing" : "decode";
    }
    this.#events.push(event);
    this.#wake();
    return true;
  }

  fail(error: unknown): void {
    this.stopWaiting();
    this.#error ??= error;
    this.#events = [];
    this.#wake();
  }

  /** The next event. @throws what `fail` was given; waiting events are dropped then. */
  async next(): Promise<TokenEvent> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const event = this.#events.shift();
      if (event) return event;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

export function isLast(event: TokenEvent): boolean {
  return event.type === "token" && event.finish !== undefined;
}
