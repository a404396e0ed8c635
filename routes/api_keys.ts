/**
 * Bearer keys: whoever sends none of them is refused.
 *
 * Knows the header and how keys are compared. Knows no route: it guards those registered after it.
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import { ApiError } from "./errors.ts";
import type { RouteEnv } from "./request_log.ts";

const BEARER = /^bearer +(\S+)$/i;

/**
 * Lets through who sends one of the keys, or everybody if there is none. How long a refusal takes
 * tells nothing of a key: digests of equal length are compared, and always with every key. What is
 * computed for one key is shared with no other.
 *
 * @throws {ApiError} 401, with the challenge of RFC 6750
 */
export function requireKey(keys: readonly string[]) {
  const digests = keys.map(digest);
  return createMiddleware<RouteEnv>(async (c, next) => {
    if (digests.length > 0) {
      const key = BEARER.exec(c.req.header("authorization") ?? "")?.[1];
      if (key === undefined) throw unauthorized("A key is needed: Authorization: Bearer KEY", "");
      const sent = digest(key);
      const equal = digests.map((known) => timingSafeEqual(known, sent));
      if (!equal.includes(true)) {
        throw unauthorized("This key is not known", ', error="invalid_token"');
      }
      // Its place among the keys says whose it is, and nothing of the key.
      c.set("cacheScope", `key ${equal.indexOf(true)}`);
    }
    await next();
  });
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function unauthorized(message: string, detail: string): ApiError {
  const challenge = `Bearer realm="clairon"${detail}`;
  return new ApiError(401, "unauthorized", message, { "www-authenticate": challenge });
}
