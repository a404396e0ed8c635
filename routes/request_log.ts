/**
 * One line a request: who, what, how it ended, how fast.
 *
 * Knows the fields of the line and when a request is over, which for a stream is long after its
 * headers went out. Never sees a prompt or an answer.
 */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RequestIdVariables } from "hono/request-id";
import { routePath } from "hono/route";
import { ApiError, toApiError } from "./errors.ts";

export interface RequestLogLine {
  id: string;
  method: string;
  /** As it is registered, or "-" where none matched: a client's own path may hold anything. */
  route: string;
  /** 499 when the client left before its answer. */
  status: number;
  /** Of the whole request. */
  ms: number;
  prompt_tokens?: number;
  tokens?: number;
  tokens_per_second?: number;
  /** The `error_type` of a refusal or of an error inside a stream, "cancelled" if the client left. */
  error?: string;
  /** What broke, where no client may see it. */
  fault?: string;
}

export type Log = (line: RequestLogLine) => void;

/** What handlers note down about the request they answer. */
export interface RequestRecord {
  promptTokens?: number;
  /** Of those, the ones that were computed before. */
  cachedTokens?: number;
  tokens?: number;
  /** Of the generation alone. */
  generationMs?: number;
  error?: string;
  fault?: string;
  /** Set where a line a second would say nothing: there is none if all went well. */
  quiet?: true;
  /** Set on a stream: resolves once its last byte is handed over or its client is gone. */
  streamed?: Promise<void>;
}

export interface RouteEnv {
  Variables: RequestIdVariables & {
    record: RequestRecord;
    /** Whose prompts may share what is computed: a name for the key that was sent, if there are keys. */
    cacheScope?: string;
  };
}

export function requestLog(log: Log) {
  return createMiddleware<RouteEnv>(async (c, next) => {
    const start = performance.now();
    const record: RequestRecord = {};
    c.set("record", record);
    await next();
    const path = routePath(c, -1);
    const { status } = c.res;
    const write = () => {
      const { promptTokens, tokens, generationMs, error, fault } = record;
      log({
        id: c.get("requestId"),
        method: c.req.method,
        route: path === "/*" ? "-" : path,
        status,
        ms: round(performance.now() - start),
        ...(promptTokens !== undefined && { prompt_tokens: promptTokens }),
        ...(tokens !== undefined && { tokens }),
        ...(tokens && generationMs && { tokens_per_second: round(tokens / generationMs * 1000) }),
        ...(error && { error }),
        ...(fault && { fault }),
      });
    };
    if (record.quiet && record.error === undefined) return;
    if (record.streamed) record.streamed.then(write);
    else write();
  });
}

/** Notes what went wrong, and returns it as the client may see it, if there still is one. */
export function noteError(c: Context<RouteEnv>, error: unknown): ApiError {
  const left = c.req.raw.signal.aborted;
  const told = left ? new ApiError(499, "cancelled", "The client left") : toApiError(error);
  const record = c.get("record");
  record.error = told.type;
  if (told.status === 500) record.fault = String(error).slice(0, 200);
  return told;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
