/**
 * The routes that tell of the server itself, in the document.
 *
 * Knows the shapes of their answers, for readers; the answers are made in `health.ts` and `info.ts`.
 */
import { z } from "zod";
import type { NamedSchemas, Operation } from "./operation.ts";

const health = z.object({ status: z.literal("ready") });
const info = z.object({
  model_id: z.string(),
  model_sha: z.string().nullable(),
  model_pipeline_tag: z.literal("text-generation"),
  max_concurrent_requests: z.int(),
  max_best_of: z.int(),
  max_stop_sequences: z.int(),
  max_input_tokens: z.int(),
  max_total_tokens: z.int(),
  validation_workers: z.int(),
  max_client_batch_size: z.int(),
  router: z.string(),
  version: z.string(),
  sha: z.string().nullable(),
  docker_label: z.string().nullable(),
  adapter: z.string().describe("the GPU's name"),
  software: z.boolean().describe("whether a CPU does the GPU's work"),
  path: z.string().describe("how tokens are decoded: portable or persistent"),
  path_reason: z.string().nullable().describe("why that way"),
  bits: z.int(),
  group_size: z.int().describe("-1 or 0 for one group"),
  act_order: z.boolean(),
  gpu_memory_bytes: z.int(),
});

export const serverAnswers: NamedSchemas = { Health: health, Info: info };

const tag = "Server";

export const serverOperations: Operation[] = [
  {
    method: "get",
    path: "/health",
    tag,
    summary: "200 if it can answer now, else 503 with the state",
    answer: health,
    open: true,
  },
  {
    method: "get",
    path: "/",
    tag,
    summary: "The same; a page to try the model with for whoever accepts `text/html`",
    answer: health,
    open: true,
  },
  { method: "get", path: "/ping", tag, summary: "The same", answer: health, open: true },
  {
    method: "get",
    path: "/metrics",
    tag,
    summary: "Counters and times for Prometheus, by the names of TGI and vLLM where they have one",
    otherType: "text/plain",
    open: true,
  },
  { method: "get", path: "/info", tag, summary: "Model, adapter, limits", answer: info },
  {
    method: "get",
    path: "/openapi.json",
    tag,
    summary: "This document, as OpenAPI 3.1",
    answer: z.looseObject({ openapi: z.string() }),
  },
  {
    method: "get",
    path: "/docs",
    tag,
    summary: "This document, as a page",
    otherType: "text/html",
  },
  {
    method: "get",
    path: "/page/{file}",
    params: { file: "main.js" },
    tag,
    summary: "What the page at `/` is made of",
    otherType: "text/javascript",
    open: true,
  },
  { method: "get", path: "/docs/style.css", tag, summary: "Its style", otherType: "text/css" },
];
