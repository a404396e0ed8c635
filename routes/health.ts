/**
 * `GET /health` (and `GET /` and `/ping`, as in TGI): can this server answer now? `GET /info`: what
 * does it run?
 *
 * Knows the engine's state and TGI's field names. Knows nothing of how a request is answered.
 */
import { type Context, Hono } from "hono";
import type { RouteEnv } from "./request_log.ts";
import { readyModel, type Service } from "./service.ts";
import { VERSION } from "./version.ts";

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

  app.get("/info", async (c) => {
    const { info } = await readyModel(service);
    const { limits } = service;
    return c.json({
      model_id: info.model,
      model_sha: null,
      model_pipeline_tag: "text-generation",
      max_concurrent_requests: limits.concurrentRequests,
      max_best_of: limits.bestOf,
      max_stop_sequences: limits.stopSequences,
      max_input_tokens: info.maxPositions - 1,
      max_total_tokens: info.maxPositions,
      validation_workers: 1,
      max_client_batch_size: limits.clientBatchSize,
      router: "clairon",
      version: VERSION,
      sha: null,
      docker_label: null,
      adapter: info.adapter,
      software: info.software,
      path: info.path,
      bits: info.bits,
      group_size: info.groupSize,
      act_order: info.actOrder,
      gpu_memory_bytes: info.gpuMemoryBytes,
    });
  });

  return app;
}
