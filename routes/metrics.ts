/**
 * `GET /metrics`: what this server does, in Prometheus's text format.
 *
 * Knows which metrics belong together. Each app has a registry of its own; a label's value is never
 * a client's. What is counted is in the files of `metrics/`.
 */
import { Hono } from "hono";
import { Registry } from "prom-client";
import type { Engine } from "../model/engine.ts";
import { AnswerMetrics } from "./metrics/answers.ts";
import { registerFigures } from "./metrics/figures.ts";
import { observedEngine } from "./metrics/observed_engine.ts";
import { RequestMetrics } from "./metrics/requests.ts";
import type { Log, RouteEnv } from "./request_log.ts";

export interface Metrics {
  registry: Registry;
  /** The engine as routes should use it: what they ask of it counts. */
  engine: Engine;
  /** The log as requests should be told to: each line counts. */
  log: Log;
}

export function observe(engine: Engine, log: Log): Metrics {
  const registry = new Registry();
  const answers = new AnswerMetrics(registry);
  const requests = new RequestMetrics(registry, answers);
  registerFigures(registry, engine);
  return {
    registry,
    engine: observedEngine(engine, answers),
    log: (line) => {
      requests.add(line);
      log(line);
    },
  };
}

/** Needs no key, as with TGI and vLLM: routers and Prometheus ask without one. */
export function metricsRoutes({ registry }: Metrics): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  app.get("/metrics", async (c) => {
    return c.body(await registry.metrics(), 200, { "content-type": registry.contentType });
  });
  return app;
}
