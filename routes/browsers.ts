/**
 * What browsers make necessary: which pages may call, under which name, and what a page may load.
 *
 * Knows the headers by which a browser tells where a request comes from. Knows no route and no key.
 */
import { type Context, type MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { secureHeaders } from "hono/secure-headers";
import { type Access, isLoopback } from "./access.ts";
import { ApiError } from "./errors.ts";

/** Everything a page uses comes from this server, and nothing of it is inline or made by eval. */
export const securityHeaders = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'"],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
    requireTrustedTypesFor: ["'script'"],
  },
  xFrameOptions: "DENY",
  // Whether a name is always served over TLS is for the proxy to say that does it.
  strictTransportSecurity: false,
});

/**
 * Refuses requests that are addressed to a name which is not ours: a page whose name was made to
 * mean 127.0.0.1 (DNS rebinding) counts as same-origin in its browser, and only `Host` gives it
 * away.
 *
 * @throws {ApiError} 403
 */
export function checkHost({ hosts }: Pick<Access, "hosts">): MiddlewareHandler {
  const names = hosts && new Set(hosts.map((name) => name.toLowerCase()));
  return createMiddleware(async (c, next) => {
    if (names) {
      const name = hostOf(c).toLowerCase().replace(/:\d{1,5}$/, "");
      if (!isLoopback(name) && !names.has(name)) {
        throw new ApiError(
          403,
          "host",
          "This server does not answer to the name in Host; --allowed-host adds one",
        );
      }
    }
    await next();
  });
}

/** HTTP/2 says it in the URL alone; so does Deno for HTTP/1.0, whose clients may leave it out. */
function hostOf(c: Context): string {
  return c.req.header("host") ?? new URL(c.req.url).host;
}

const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

/**
 * Refuses what a foreign page makes its visitor's browser send. CORS alone keeps such a page from
 * reading the answer, not from asking: a form needs nobody's permission. Browsers that say how the
 * page relates to us are believed; of others, `Origin` must name our `Host`. Whoever sends neither
 * header is no browser.
 *
 * @throws {ApiError} 403
 */
export function checkOrigin({ origins }: Pick<Access, "origins">): MiddlewareHandler {
  return createMiddleware(async (c, next) => {
    if (!SAFE_METHODS.includes(c.req.method) && isForeign(c, origins)) {
      throw new ApiError(
        403,
        "origin",
        "Pages of this origin may not use this server; --cors-origin allows one",
      );
    }
    await next();
  });
}

function isForeign(c: Context, origins: Access["origins"]): boolean {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  if (origins.includes("*") || (origin && origins.includes(origin))) return false;
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  return origin !== undefined && origin.replace(/^[a-z]+:\/\//, "") !== hostOf(c);
}

/** Headers of an answer that a page of another origin may read. */
const EXPOSED = [
  "x-request-id",
  "retry-after",
  "www-authenticate",
  ...["type", "time", "characters"].map((name) => `x-compute-${name}`),
  ...["total", "validation", "queue", "inference"].map((name) => `x-${name}-time`),
  "x-time-per-token",
  "x-prompt-tokens",
  "x-generated-tokens",
];

const PREFLIGHT_SECONDS = 600;

/** Answers preflight requests, and lets pages of the allowed origins read every answer. */
export function allowOrigins({ origins }: Pick<Access, "origins">): MiddlewareHandler {
  if (origins.length === 0) return createMiddleware((_, next) => next());
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: ["GET", "HEAD", "POST"],
    exposeHeaders: EXPOSED,
    maxAge: PREFLIGHT_SECONDS,
  });
}
