/**
 * Errors as OpenAI's API tells them: `{"error": {"message", "type", "param", "code"}}`.
 *
 * Knows the shape, the statuses and the wording its clients know, for refusals of our own and for
 * what zod finds wrong. Knows no field by itself.
 */
import type { z } from "zod";
import { ApiError, type ErrorShape } from "./errors.ts";

/** A refusal of one parameter. */
export class OpenAiError extends ApiError {
  /**
   * @param param the parameter's name, where one is to blame
   * @param code what a program can go by
   */
  constructor(
    message: string,
    override readonly param: string | null,
    readonly code: string | null,
    status = 400,
  ) {
    super(status, "validation", message);
  }
}

export function unsupported(param: string): OpenAiError {
  return new OpenAiError(
    `Unsupported parameter: '${param}' is not supported with this model.`,
    param,
    "unsupported_parameter",
  );
}

export const openAiErrors: ErrorShape = (error, { method, path }) => {
  // What TGI calls 422 and 424 are 400 and 500 here.
  const status = error.status === 422 ? 400 : error.status === 424 ? 500 : error.status;
  const own: Wording = error instanceof OpenAiError
    ? error
    : OTHERS[error.type]?.(method, path) ?? {};
  const { message = error.message, param = error.param, code = null } = own;
  return { status, body: { error: { message, type: typeOf(status), param, code } } };
};

type Wording = Partial<Pick<OpenAiError, "message" | "param" | "code">>;

/** OpenAI's words for what is told in TGI's elsewhere, by `error_type`. */
const OTHERS: Record<string, (method: string, path: string) => Wording> = {
  not_found: (method, path) => ({
    message: `Invalid URL (${method} ${path})`,
    code: "unknown_url",
  }),
  method_not_allowed: (method, path) => ({
    message: `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different ` +
      "HTTP method?)",
    code: "method_not_allowed",
  }),
  unauthorized: () => ({ code: "invalid_api_key" }),
  syntax: () => ({
    message: "We could not parse the JSON body of your request. The API expects a JSON payload, " +
      "but what was sent was not valid JSON.",
  }),
  overloaded: () => ({
    message: "The engine is currently overloaded, please try again later.",
    code: "rate_limit_exceeded",
  }),
};

function typeOf(status: number): string {
  if (status === 429) return "requests";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** OpenAI's names of JSON types, as its messages use them. */
const TYPES: Record<string, string> = {
  number: "a decimal",
  int: "an integer",
  string: "a string",
  boolean: "a boolean",
  array: "an array",
  record: "an object",
  object: "an object",
};

/**
 * The first thing that zod found wrong, in OpenAI's words. Where a schema gives a message of its
 * own, that says what was expected: "a string", say.
 */
export function openAiIssue({ issues }: z.ZodError, json: unknown): OpenAiError {
  const issue = issues[0]!;
  const param = pathOf(issue.path);
  const found = valueAt(json, issue.path);
  if (param === "") {
    return new OpenAiError(
      `Invalid type: expected an object, but got ${kindOf(json)} instead.`,
      null,
      "invalid_type",
    );
  }
  if (found === undefined) {
    return new OpenAiError(
      `Missing required parameter: '${param}'.`,
      param,
      "missing_required_parameter",
    );
  }
  switch (issue.code) {
    case "too_small":
    case "too_big":
      return outOfRange(issue, param, found);
    case "invalid_value": {
      const supported = issue.values.map((value) => `'${String(value)}'`).join(", ");
      const message = `Invalid value for '${param}'. Supported values are: ${supported}.`;
      return new OpenAiError(message, param, "invalid_value");
    }
    case "invalid_type":
      // A schema's own message is not zod's, which begins like this.
      return wrongType(
        param,
        issue.message.startsWith("Invalid")
          ? TYPES[issue.expected] ?? issue.expected
          : issue.message,
        found,
      );
    default:
      return wrongType(param, issue.message, found);
  }
}

function wrongType(param: string, expected: string, found: unknown): OpenAiError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${
    kindOf(found)
  } instead.`;
  return new OpenAiError(message, param, "invalid_type");
}

type RangeIssue = Extract<z.core.$ZodIssue, { code: "too_small" | "too_big" }>;

function outOfRange(issue: RangeIssue, param: string, found: unknown): OpenAiError {
  const below = issue.code === "too_small";
  const bound = Number(below ? issue.minimum : issue.maximum);
  if (Array.isArray(found)) {
    const [code, what] = found.length === 0
      ? ["empty_array", "empty array"]
      : below
      ? ["array_below_min_length", "array too short"]
      : ["array_above_max_length", "array too long"];
    const length = found.length === 0 ? "an empty array" : `an array with length ${found.length}`;
    const message = `Invalid '${param}': ${what}. Expected an array with ` +
      `${below ? "minimum" : "maximum"} length ${bound}, but got ${length} instead.`;
    return new OpenAiError(message, param, code!);
  }
  const kind = issue.message === "an integer" ? "integer" : "decimal";
  const side = below ? "below minimum" : "above maximum";
  const sign = `${below ? ">" : "<"}${issue.inclusive === false ? "" : "="}`;
  return new OpenAiError(
    `Invalid '${param}': ${kind} ${side} value. Expected a value ${sign} ${bound}, but got ${found} instead.`,
    param,
    `${kind}_${below ? "below_min" : "above_max"}_value`,
  );
}

/** `messages[0].role` */
function pathOf(path: PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : `${text}${text && "."}${String(key)}`,
    "",
  );
}

function valueAt(json: unknown, path: PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => Object.hasOwn(Object(value), key) ? (value as never)[key] : undefined,
    json,
  );
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (Number.isInteger(value)) return "an integer";
  return TYPES[typeof value] ?? typeof value;
}
