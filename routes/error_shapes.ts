/**
 * How each API tells its clients of an error: which API a path belongs to, and its status and JSON.
 *
 * Knows the families that are served side by side. Knows nothing of why a request failed.
 */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { ApiError, ErrorShape } from "./errors.ts";
import { openAiErrors } from "./openai_errors.ts";

/** Clairon's own: TGI's two fields. */
const own: ErrorShape = ({ status, message, type }) => ({
  status,
  body: { error: message, error_type: type },
});

/** TGI's own routes say nothing to whoever has no key. */
const tgi: ErrorShape = (error, request) =>
  error.status === 401 ? { status: 401, body: null } : own(error, request);

const BUSY = "Server is busy; please try again later.";

/** KoboldAI names the field that is wrong, or gives a sentence and a type; busy is 503. */
const kobold: ErrorShape = (error) => {
  const busy = error.status === 429;
  const status = busy ? 503 : error.status;
  const msg = busy ? BUSY : error.message;
  const type = status === 503 ? "service_unavailable" : error.type;
  const detail = error.param === null ? { msg, type } : { [error.param]: [msg] };
  return { status, body: { detail } };
};

/** The first match holds; what is under /v1 and not ours was meant for OpenAI. */
const FAMILIES: [path: RegExp, shape: ErrorShape][] = [
  [/^\/api\//, kobold],
  [/^\/v1\/(dialogues|prompts)(\/|$)/, own],
  [/^\/v1(\/|$)/, openAiErrors],
  [/^\/(generate|generate_stream|tokenize|invocations|info)?$/, tgi],
];

function shaped(c: Context, error: ApiError): ReturnType<ErrorShape> {
  const shape = FAMILIES.find(([pattern]) => pattern.test(c.req.path))?.[1] ?? own;
  return shape(error, c.req);
}

export function errorResponse(c: Context, error: ApiError): Response {
  const { status, body } = shaped(c, error);
  return body === null
    ? c.body(null, status as ContentfulStatusCode, error.headers)
    : c.json(body, status as ContentfulStatusCode, error.headers);
}

/** The error as an event of a stream that has begun. */
export function errorBody(c: Context, error: ApiError): object {
  return shaped(c, error).body ?? {};
}
