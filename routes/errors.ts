/**
 * What went wrong with a request, in terms that every API shares: a status, a type, a sentence.
 *
 * Knows the codes of EngineError and the wording for each. Passes on no message that was not
 * written for a client: of a fault it says that it happened, never what the GPU said. How an API
 * puts it into JSON is `error_shapes.ts`.
 */
import type { HonoRequest } from "hono";
import { EngineError } from "../model/engine.ts";

/** A refusal that is ready to be sent. */
export class ApiError extends Error {
  override name = "ApiError";
  /**
   * @param status TGI's; an API that answers with another one says so in `error_shapes.ts`
   * @param type TGI's `error_type`, which is also what the log shows
   * @param param the field of the body that is wrong, where there is one
   */
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

/** How an API says what an error says, and with which status; without a body, it says nothing. */
export type ErrorShape = (
  error: ApiError,
  request: HonoRequest,
) => { status: number; body: object | null };

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
      return new ApiError(429, "overloaded", "Model is overloaded", {
        "retry-after": String(error.retryAfter ?? 1),
      });
    case "loading":
      return new ApiError(503, "loading", "The model is loading", { "retry-after": "1" });
    case "unavailable":
      return new ApiError(503, "unavailable", "No GPU server answers now", { "retry-after": "5" });
    case "draining":
      return new ApiError(503, "draining", "The server is shutting down", { "retry-after": "5" });
    case "invalid":
      return validationError(error.message);
    case "lost":
      return generationError("the engine stopped");
    case "unread":
      return generationError("the client did not read its answer");
    case "failed":
      return generationError("the GPU reported an error");
  }
}

function generationError(reason: string): ApiError {
  return new ApiError(424, "generation", `Request failed during generation: ${reason}`);
}
