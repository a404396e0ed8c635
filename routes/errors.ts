/**
 * What a client is told when a request fails: TGI's `{"error", "error_type"}` and its statuses,
 * unless the route's API has a shape of its own.
 *
 * Knows the codes of EngineError and the wording for each. Passes on no message that was not
 * written for a client: of a fault it says that it happened, never what the GPU said.
 */
import type { Context, HonoRequest } from "hono";
import { createMiddleware } from "hono/factory";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { EngineError } from "../model/engine.ts";

/** The body of every refusal, and of an error inside a stream. */
export interface ErrorBody {
  error: string;
  error_type: string;
}

/** A refusal that is ready to be sent. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }

  get body(): ErrorBody {
    return { error: this.message, error_type: this.type };
  }
}

/** 422 in TGI's words; `message` begins where TGI's does, after the colon. */
export function validationError(message: string): ApiError {
  return new ApiError(422, "validation", `Input validation error: ${message}`);
}

export function loadingError(progress: number): ApiError {
  const percent = Math.floor(progress * 100);
  return new ApiError(503, "loading", `The model is loading: ${percent} %`, { "retry-after": "1" });
}

/** Any error as a client may see it; what nobody foresaw becomes a bare 500. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (!(error instanceof EngineError)) {
    return new ApiError(500, "internal", "Internal server error");
  }
  switch (error.code) {
    case "busy":
      return new ApiError(429, "overloaded", "Model is overloaded", { "retry-after": "1" });
    case "loading":
      return new ApiError(503, "loading", "The model is loading", { "retry-after": "1" });
    case "draining":
      return new ApiError(503, "draining", "The server is shutting down", { "retry-after": "5" });
    case "invalid":
      return validationError(error.message);
    case "lost":
      return generationError("the engine stopped");
    case "failed":
      return generationError("the GPU reported an error");
  }
}

function generationError(reason: string): ApiError {
  return new ApiError(424, "generation", `Request failed during generation: ${reason}`);
}

/** How an API says what an error says, and with which status. */
export type ErrorShape = (
  error: ApiError,
  request: HonoRequest,
) => { status: number; body: object };

/** What a context may hold for errors. */
export interface ErrorVariables {
  errorShape?: ErrorShape;
}

/** TGI's shape, which is also that of our own routes. */
export const plainErrors: ErrorShape = ({ status, body }) => ({ status, body });

/** Gives the routes behind it an error shape; the one nearest to the route holds. */
export function withErrors(errorShape: ErrorShape) {
  return createMiddleware<{ Variables: ErrorVariables }>(async (c, next) => {
    c.set("errorShape", errorShape);
    await next();
  });
}

function shaped(c: Context, error: ApiError): ReturnType<ErrorShape> {
  const errorShape: ErrorShape = c.get("errorShape") ?? plainErrors;
  return errorShape(error, c.req);
}

export function errorResponse(
  c: Context,
  error: ApiError,
): Response {
  const { status, body } = shaped(c, error);
  return c.json(body, status as ContentfulStatusCode, error.headers);
}

/** The error as an event of a stream that has begun. */
export function errorBody(c: Context, error: ApiError): object {
  return shaped(c, error).body;
}
