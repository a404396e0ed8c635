/**
 * What every route that generates does: reads its body, reads an answer to its end or streams it,
 * and ends the work when the client leaves.
 *
 * Knows text events, the request's record and event streams. Knows no API: what the events of a
 * stream look like, and what becomes of a whole answer, is the caller's.
 */
import type { Context } from "hono";
import {
  type EndTextEvent,
  generateText,
  type PromptTextEvent,
  type TextRequest,
  type TokenTextEvent,
} from "../model/text_generation.ts";
import { errorBody } from "./error_shapes.ts";
import { noteError, type RouteEnv } from "./request_log.ts";
import { readJson } from "./json_body.ts";
import { type ReadyModel, readyModel, scoped, type Service } from "./service.ts";
import { eventStream, SSE_HEADERS } from "./sse.ts";

export type RouteContext = Context<RouteEnv>;

/** A request's JSON, and the model that is there to answer it. */
export interface Body {
  model: ReadyModel;
  json: unknown;
  /** As `performance.now()` tells time. */
  arrived: number;
}

/** @throws {ApiError | EngineError} if there is no model to answer, or no JSON */
export async function readBody(c: RouteContext, service: Service): Promise<Body> {
  const arrived = performance.now();
  const cacheScope = c.get("cacheScope");
  const model = { ...await readyModel(service), ...(cacheScope !== undefined && { cacheScope }) };
  return { model, json: await readJson(c.req.raw, service.limits.bodyBytes), arrived };
}

/**
 * What a client asks to be kept together: requests of one session meet the same GPU server, which
 * still has their prefix. To be spread into a request.
 */
export function affinityOf(c: RouteContext): { affinity?: string } {
  const session = c.req.header("x-session-id");
  return session ? { affinity: session } : {};
}

/** An answer that was read to its end. */
export interface WholeAnswer {
  end: EndTextEvent;
  /** Empty unless asked for. */
  prefill: PromptTextEvent["tokens"];
  tokens: TokenTextEvent[];
  /** When the first event came, as `performance.now()` tells time. */
  began: number;
}

/** @throws {EngineError} what the engine throws; the reason of `signal` once it is aborted */
export async function wholeAnswer(
  { engine }: Service,
  model: ReadyModel,
  request: TextRequest,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const tokens: TokenTextEvent[] = [];
  let prefill: PromptTextEvent["tokens"] = [];
  let began: number | undefined;
  const asked = scoped(request, model);
  for await (const event of generateText(engine, model.tokenizer, asked, signal)) {
    began ??= performance.now();
    if (event.type === "prompt") prefill = event.tokens;
    else if (event.type === "token") tokens.push(event);
    else return { end: event, prefill, tokens, began };
  }
  throw new Error("a generation ended without an end");
}

export interface StreamOptions {
  /** Makes the events; its signal is aborted when the client leaves. */
  events: (signal: AbortSignal) => AsyncGenerator<object>;
  /** When the generation began, for the log. */
  since: number;
  headers?: Record<string, string>;
  /** What a last event says as it is, after an error too; by default there is none. */
  last?: string;
  /** Whether each event's `type` is its name. */
  named?: boolean;
  /** The last event of a stream that fails; by default the body that such an error has. */
  errorEvent?: (error: unknown) => object;
}

/**
 * Streams events; what is refused before the first one still gets a status of its own.
 *
 * @throws what `events` throws by then
 */
export async function streamResponse(
  c: RouteContext,
  { limits }: Service,
  { events, since, headers = {}, last, named = false, errorEvent }: StreamOptions,
): Promise<Response> {
  const record = c.get("record");
  const left = new AbortController();
  const signal = AbortSignal.any([c.req.raw.signal, left.signal]);
  const closed = Promise.withResolvers<void>();
  const body = await eventStream(events(signal), {
    keepAlive: limits.keepAlive,
    stall: limits.stall,
    onError: (error) => {
      const body = errorBody(c, noteError(c, error));
      return errorEvent?.(error) ?? body;
    },
    onCancel: (why) => {
      record.error = why;
      left.abort();
    },
    onClose: () => {
      record.generationMs = performance.now() - since;
      closed.resolve();
    },
    ...(last !== undefined && { last }),
    named,
  });
  record.streamed = closed.promise;
  return c.body(body, 200, { ...SSE_HEADERS, ...headers });
}
