/**
 * A request's JSON body, read with a limit.
 *
 * Knows the checks that come before any schema, and their statuses, which are axum's (TGI's HTTP
 * library): 415 content type, 413 size, 400 syntax. Knows nothing of what the JSON means. Messages
 * name no part of the body, for it holds somebody's prompt.
 */
import { ApiError } from "./errors.ts";

/** `application/json`, or a type built on it such as `application/vnd.api+json`. */
const JSON_TYPE = /^application\/([^\s;/]+\+)?json\s*(;|$)/i;

/**
 * @param limit bytes that a body may have, whatever its Content-Length says or does not say
 * @throws {ApiError} 400, 413 or 415
 */
export async function readJson(request: Request, limit: number): Promise<unknown> {
  if (!JSON_TYPE.test(request.headers.get("content-type") ?? "")) {
    throw new ApiError(
      415,
      "content_type",
      "Expected request with `Content-Type: application/json`",
    );
  }
  const bytes = await readBytes(request, limit);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new ApiError(400, "syntax", "Failed to parse the request body as JSON");
  }
}

/** As `readJson`; a request without a body counts as an empty object. */
export async function readOptionalJson(request: Request, limit: number): Promise<unknown> {
  const empty = request.body === null || request.headers.get("content-length") === "0";
  return empty ? {} : await readJson(request, limit);
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > limit) throw tooLarge(limit);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    // Leaving the loop early cancels the body, so the rest of it is never held in memory.
    for await (const chunk of request.body ?? []) {
      size += chunk.length;
      if (size > limit) throw tooLarge(limit);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "incomplete", "The request body broke off");
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function tooLarge(limit: number): ApiError {
  return new ApiError(413, "too_large", `The request body must have at most ${limit} bytes`);
}
