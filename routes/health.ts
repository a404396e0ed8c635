/**
 * `GET /health` (and `GET /` and `/ping`, as in TGI): can this server answer now?
 *
 * Knows the engine's state and TGI's field names. Knows nothing of how a request is answered.
 */
import { type Context, Hono } from "hono";
import type { RouteEnv } from "./request_log.ts";
import type { Service } from "./service.ts";

export function healthRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();

  function health(c: Context<RouteEnv>) {
    const { state, progress } = service.engine.stats();
    if (state === "ready") return c.json({ status: state });
    // While the model loads, `progress` is the percentage done.
    const percent = state === "loading" ? { progress: Math.floor(progress * 100) } : {};
    return c.json(
      { error: "unhealthy", error_type: "healthcheck", status: state, ...percent },
      503,
    );
  }
  app.get("/", health);
  app.get("/health", health);
  // SageMaker's name for it.
  app.get("/ping", health);

  return app;
}
