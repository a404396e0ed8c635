/**
 * The whole HTTP interface as one Hono app.
 *
 * Knows which files make it up and what every answer has in common: a request id, security
 * headers, a line in the log, errors in its API's shape, and who may ask. Knows no GPU: it is given
 * an engine.
 */
import { Hono } from "hono";
import { requestId } from "hono/request-id";
import { type Access, OPEN } from "./access.ts";
import { requireKey } from "./api_keys.ts";
import { allowOrigins, checkHost, checkOrigin, securityHeaders } from "./browsers.ts";
import { dialogueRoutes } from "./dialogues.ts";
import { docsRoutes } from "./docs.ts";
import { errorResponse } from "./error_shapes.ts";
import { ApiError } from "./errors.ts";
import { healthRoutes } from "./health.ts";
import { infoRoutes } from "./info.ts";
import { invocationRoutes } from "./invocations.ts";
import { koboldRoutes } from "./kobold.ts";
import { koboldInfoRoutes } from "./kobold_info.ts";
import { metricsRoutes, observe } from "./metrics.ts";
import { openAiRoutes } from "./openai.ts";
import { pageRoutes } from "./page.ts";
import { noteError, requestLog, type RouteEnv } from "./request_log.ts";
import { LIMITS, type Service } from "./service.ts";
import { sidecarRoutes } from "./sidecar.ts";
import { tgiRoutes } from "./tgi.ts";
import { tokenizeRoutes } from "./tokenize.ts";

export type AppOptions =
  & Pick<Service, "engine" | "text">
  & {
    limits?: Partial<Service["limits"]>;
    access?: Partial<Access>;
    /** Opens the internal routes; without one there are none. */
    sidecarKey?: string | undefined;
    log?: Service["log"];
  };

export function createApp(options: AppOptions): Hono<RouteEnv> {
  const { text, limits, sidecarKey } = options;
  const metrics = observe(options.engine, options.log ?? (() => {}));
  const { engine, log } = metrics;
  const service: Service = { engine, text, limits: { ...LIMITS, ...limits }, log };
  const access = { ...OPEN, ...options.access };
  // Whoever asks for the text side handles its failure; nobody may have asked yet.
  text.catch(() => {});

  const app = new Hono<RouteEnv>();
  app.use(requestId(), requestLog(log), securityHeaders);
  app.use(checkHost(access), checkOrigin(access), allowOrigins(access));
  app.route("/", pageRoutes());
  app.route("/", healthRoutes(service));
  app.route("/", metricsRoutes(metrics));
  // Its key is another one.
  if (sidecarKey !== undefined) app.route("/", sidecarRoutes(service, sidecarKey));
  // What is registered from here on needs a key, if there are keys; so does what is no route.
  app.use(requireKey(access.keys));
  app.route("/", infoRoutes(service));
  app.route("/", tgiRoutes(service));
  app.route("/", tokenizeRoutes(service));
  app.route("/", openAiRoutes(service));
  app.route("/", dialogueRoutes(service));
  app.route("/", invocationRoutes(service));
  app.route("/", koboldRoutes(service));
  app.route("/", koboldInfoRoutes(service, access.keys.length > 0));
  app.route("/", docsRoutes());
  refuseOtherMethods(app);
  app.notFound(() => {
    throw new ApiError(404, "not_found", "There is no such route");
  });
  app.onError((error, c) => errorResponse(c, noteError(c, error)));
  return app;
}

/** 405 for every path that exists, under the methods that it does not take. */
function refuseOtherMethods(app: Hono<RouteEnv>): void {
  const taken = new Map<string, string[]>();
  for (const { path, method } of app.routes) {
    if (method === "ALL") continue;
    taken.set(path, [...taken.get(path) ?? [], ...method === "GET" ? ["GET", "HEAD"] : [method]]);
  }
  for (const [path, methods] of taken) {
    app.all(path, async (c, next) => {
      // A route that passed the request on knows no such thing.
      if (methods.includes(c.req.method)) return await next();
      const message = `This route takes ${methods.join(", ")} only`;
      throw new ApiError(405, "method_not_allowed", message, { allow: methods.join(", ") });
    });
  }
}
