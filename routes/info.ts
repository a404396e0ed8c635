/**
 * `GET /info`: what does this server run?
 *
 * Knows TGI's field names, and ours beside them. Knows nothing of how a request is answered.
 */
import { Hono } from "hono";
import type { RouteEnv } from "./request_log.ts";
import { readyModel, type Service } from "./service.ts";
import { VERSION } from "./version.ts";

export function infoRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();

  app.get("/info", async (c) => {
    const { info } = await readyModel(service);
    const { limits } = service;
    return c.json({
      model_id: info.model,
      model_sha: info.commit ?? null,
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
      path_reason: info.pathReason ?? null,
      bits: info.bits,
      group_size: info.groupSize,
      act_order: info.actOrder,
      gpu_memory_bytes: info.gpuMemoryBytes,
    });
  });

  return app;
}
