/**
 * One sidecar over HTTP: what it says of itself, and a stream of token events.
 *
 * Knows requests, their ends and their failures. Knows neither other sidecars nor what to do when
 * this one fails.
 */
import { createParser } from "eventsource-parser";
import { EngineError, type GenerateRequest, type TokenEvent } from "../engine.ts";
import {
  GENERATE_PATH,
  INFO_PATH,
  KEEP_ALIVE,
  type Line,
  lineEvent,
  type SidecarInfo,
} from "./protocol.ts";

/** Why a sidecar gave no answer, for whoever runs the server; never for a client. */
export class SidecarError extends Error {
  override name = "SidecarError";
  /** @param lasting whether somebody has to change something before it can work */
  constructor(message: string, readonly lasting = false) {
    super(message);
  }
}

/** A few keep-alives were due by then. */
const SILENCE = 3 * KEEP_ALIVE;

export class SidecarClient {
  readonly #headers: Record<string, string>;

  /**
   * @param url without a slash at its end
   * @param silence milliseconds without a word after which it is taken for dead
   */
  constructor(readonly url: string, key: string, private readonly silence = SILENCE) {
    this.#headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  }

  /** @throws {SidecarError} */
  async info(signal: AbortSignal): Promise<SidecarInfo> {
    try {
      const response = await this.#fetch(INFO_PATH, { signal });
      return await response.json();
    } catch (error) {
      throw failure(error);
    }
  }

  /**
   * Aborting `signal`, or leaving the loop, closes the connection, by which the sidecar knows.
   *
   * @throws {SidecarError} when it cannot be reached, or breaks off before the last token
   * @throws {EngineError} what its engine threw
   * @throws the signal's reason
   */
  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    const leave = new AbortController();
    // Only the time that is spent waiting for the sidecar counts, not what a slow reader takes.
    let waitingSince: number | undefined = performance.now();
    const watch = setInterval(() => {
      if (waitingSince !== undefined && performance.now() - waitingSince > this.silence) {
        leave.abort(new SidecarError(`said nothing for ${this.silence / 1000} s`));
      }
    }, this.silence / 3);
    const lines: Line[] = [];
    const parser = createParser({ onEvent: ({ data }) => lines.push(...JSON.parse(data)) });
    const decoder = new TextDecoder();
    try {
      const response = await this.#fetch(GENERATE_PATH, {
        method: "POST",
        body: JSON.stringify(request),
        signal: AbortSignal.any([signal, leave.signal]),
      });
      const reader = response.body!.getReader();
      for (;;) {
        waitingSince = performance.now();
        const { done, value } = await reader.read();
        waitingSince = undefined;
        if (done) break;
        parser.feed(decoder.decode(value, { stream: true }));
        for (const line of lines.splice(0)) {
          const event = lineEvent(line);
          if (event === undefined) continue;
          // Whoever gets it leaves: read to the end first, so that the connection can be used again.
          if (isLast(event)) await readRest(reader);
          yield event;
          if (isLast(event)) return;
        }
      }
      throw new SidecarError("broke off in the middle of an answer");
    } catch (error) {
      signal.throwIfAborted();
      throw failure(leave.signal.aborted ? leave.signal.reason : error);
    } finally {
      clearInterval(watch);
      leave.abort();
    }
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const response = await fetch(this.url + path, { ...init, headers: this.#headers });
    if (response.ok) return response;
    await response.body?.cancel();
    switch (response.status) {
      case 401:
        throw new SidecarError("has another sidecar key", true);
      case 404:
        throw new SidecarError("takes no work: it needs a sidecar key, or is too old or new", true);
      default:
        throw new SidecarError(`answered with status ${response.status}`);
    }
  }
}

function isLast(event: TokenEvent): boolean {
  return event.type === "token" && event.finish !== undefined;
}

/** Nothing more comes than the end; if that does not come, nothing is lost. */
async function readRest(reader: ReadableStreamDefaultReader): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {
    // The answer is complete all the same.
  }
}

function failure(error: unknown): EngineError | SidecarError {
  if (error instanceof EngineError || error instanceof SidecarError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new SidecarError(`cannot be reached (${reason})`);
}
