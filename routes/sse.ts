/**
 * Server-sent events out of an async generator.
 *
 * Knows the wire format, back-pressure and keep-alive. Knows nothing of what the events say. An
 * event is taken from the generator only when the client's side has room for it, so a client that
 * does not read holds back its own generator and nothing else; after a time it counts as gone.
 */
import { EngineError } from "../model/engine.ts";

export interface SseOptions {
  /** The event to send in place of an error; the stream ends with it. */
  onError: (error: unknown) => object;
  /**
   * Called when the client has left, or reads nothing any more; must make a pending `next()` of the
   * generator settle.
   */
  onCancel: (why: "cancelled" | "unread") => void;
  /** Called once, after the last byte was handed over or after `onCancel`. */
  onClose: () => void;
  /** Milliseconds of silence after which a comment is sent. */
  keepAlive: number;
  /** Milliseconds that an event may lie unread before the stream is ended. */
  stall: number;
  /** The text of a last event, sent as it is, after an error too. Default: none. */
  last?: string;
  /**
   * Whether each event's `type` is sent as its name, and not in its data; an error is then named
   * "error". Default: events have no names.
   */
  named?: boolean;
}

export const SSE_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  // Tells nginx not to gather events into a buffer.
  "x-accel-buffering": "no",
};

const ENCODER = new TextEncoder();
const COMMENT = ENCODER.encode(":\n\n");

/**
 * The body of an event stream, one event for each value.
 *
 * Waits for the first event, though no longer than `keepAlive`: a request that is refused at once
 * can then still be answered with a status of its own.
 *
 * @throws what the generator throws within that time
 */
export async function eventStream(
  events: AsyncGenerator<object>,
  { onError, onCancel, onClose, keepAlive, stall, last, named = false }: SseOptions,
): Promise<ReadableStream<Uint8Array>> {
  const first = events.next();
  await settledWithin(keepAlive, first);

  const lastText = last === undefined ? "" : `data: ${last}\n\n`;
  const errorText = (error: object) =>
    eventText(named ? { type: "error", ...error } : error, named) + lastText;

  async function* texts() {
    try {
      for (let next = await first; !next.done; next = await events.next()) {
        yield eventText(next.value, named);
      }
    } catch (error) {
      yield errorText(onError(error));
      return;
    }
    if (lastText !== "") yield lastText;
  }
  const source = texts();
  let silent = true;
  let gone = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;
  function finish() {
    clearInterval(timer);
    clearTimeout(patience);
    onClose();
  }
  function leave(why: "cancelled" | "unread") {
    gone = true;
    onCancel(why);
    // A generator that waits at its yield sees no signal: it has to be told to return.
    events.return(undefined).catch(() => {});
    finish();
  }
  return new ReadableStream({
    start(controller) {
      timer = setInterval(() => {
        if (silent && controller.desiredSize! > 0) controller.enqueue(COMMENT);
        silent = true;
      }, keepAlive);
    },
    async pull(controller) {
      clearTimeout(patience);
      const { done, value } = await source.next();
      if (gone) return;
      if (done) {
        controller.close();
        return finish();
      }
      silent = false;
      // The next pull tells that somebody has read it.
      patience = setTimeout(() => {
        const error = onError(new EngineError("unread", "The stream was not read."));
        leave("unread");
        controller.enqueue(ENCODER.encode(errorText(error)));
        controller.close();
      }, stall);
      controller.enqueue(ENCODER.encode(value));
    },
    cancel: () => leave("cancelled"),
  });
}

/** An event as it goes over the wire. JSON has no line breaks, and the names are our own. */
function eventText(value: object, named: boolean): string {
  if (!named) return `data: ${JSON.stringify(value)}\n\n`;
  const { type, ...data } = value as { type: string };
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Waits for `promise`, but no longer than `milliseconds`; throws what it throws by then. */
async function settledWithin(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  // If it fails later, whoever awaits it then will say so.
  promise.catch(() => {});
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise((resolve) => timer = setTimeout(resolve, milliseconds));
  try {
    await Promise.race([promise, patience]);
  } finally {
    clearTimeout(timer);
  }
}
