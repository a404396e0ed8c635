/**
 * The whole HTTP interface as one Hono app.
 *
 * Knows which files make it up and what every answer has in common: a request id, security
 * headers, a line in the log, errors in one shape. Knows no GPU: it is given an engine.
 */
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { requestId } from "hono/request-id";
import { DIALOGUE_PATHS, dialogueRoutes } from "./dialogues.ts";
import { ApiError, errorResponse, plainErrors, withErrors } from "./errors.ts";
import { healthRoutes } from "./health.ts";
import { invocationRoutes } from "./invocations.ts";
import { openAiRoutes } from "./openai.ts";
import { openAiErrors } from "./openai_errors.ts";
import { pageRoutes } from "./page.ts";
import { noteError, requestLog, type RouteEnv } from "./request_log.ts";
import { LIMITS, type Service } from "./service.ts";
import { tgiRoutes } from "./tgi.ts";
import { tokenizeRoutes } from "./tokenize.ts";

export type AppOptions =
  & Pick<Service, "engine" | "text">
  & { limits?: Partial<Service["limits"]>; log?: Service["log"] };

export function createApp({ engine, text, limits, log = () => {} }: AppOptions): Hono<RouteEnv> {
  const service: Service = { engine, text, limits: { ...LIMITS, ...limits }, log };
  // Whoever asks for the text side handles its failure; nobody may have asked yet.
  text.catch(() => {});

  const app = new Hono<RouteEnv>();
  app.use(requestId(), requestLog(log), securityHeaders);
  // Before whatever may refuse a request, so that it does so in the shape of the route's API.
  app.use("/v1/*", withErrors(openAiErrors));
  for (const path of DIALOGUE_PATHS) app.use(path, withErrors(plainErrors));
  app.route("/", pageRoutes());
  app.route("/", healthRoutes(service));
  app.route("/", tgiRoutes(service));
  app.route("/", tokenizeRoutes(service));
  app.route("/", openAiRoutes(service));
  app.route("/", dialogueRoutes(service));
  app.route("/", invocationRoutes(service));
  for (const path of POST_ONLY) app.all(path, () => methodNotAllowed("POST"));
  for (const path of ["/v1/models", "/v1/models/:model{.+}"]) {
    app.all(path, () => methodNotAllowed("GET"));
  }
  app.notFound(() => {
    throw new ApiError(404, "not_found", "There is no such route");
  });
  app.onError((error, c) => errorResponse(c, noteError(c, error)));
  return app;
}

const POST_ONLY = [
  "/generate",
  "/generate_stream",
  "/tokenize",
  "/invocations",
  "/v1/completions",
  "/v1/chat/completions",
  ...DIALOGUE_PATHS,
];

function methodNotAllowed(allow: string): never {
  throw new ApiError(405, "method_not_allowed", `This route takes ${allow} only`, { allow });
}

const securityHeaders: MiddlewareHandler = async (c: Context, next) => {
  c.header("x-content-type-options", "nosniff");
  c.header("x-frame-options", "DENY");
  c.header("referrer-policy", "no-referrer");
  await next();
};
