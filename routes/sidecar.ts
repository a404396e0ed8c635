/**
 * The internal routes of a sidecar: token ids in, token ids out, for edges that have its key.
 *
 * Knows how the engine is reached over HTTP; what is said is `model/remote/protocol.ts`. They stand
 * in no public document: only an edge of the same version asks for them.
 */
import { Hono } from "hono";
import type { Engine, GenerateRequest } from "../model/engine.ts";
import {
  ACCEPTED,
  errorLine,
  eventLine,
  GENERATE_PATH,
  generateRequest,
  INFO_PATH,
  KEEP_ALIVE,
  type Line,
  type SidecarInfo,
} from "../model/remote/protocol.ts";
import { requireKey } from "./api_keys.ts";
import { parseBody } from "./dialogue_schema.ts";
import { type RouteContext, streamResponse } from "./generation.ts";
import { readJson } from "./json_body.ts";
import { noteError, type RouteEnv } from "./request_log.ts";
import type { Service } from "./service.ts";
import { together } from "./together.ts";

/** @param key what edges must send as a bearer token */
export function sidecarRoutes(service: Service, key: string): Hono<RouteEnv> {
  const { engine, text } = service;
  const limits = { ...service.limits, keepAlive: KEEP_ALIVE };
  const app = new Hono<RouteEnv>();
  app.use("/internal/*", requireKey([key]));

  app.get(INFO_PATH, async (c) => {
    c.get("record").quiet = true;
    const stats = engine.stats();
    // Before the model is there, it may be being fetched: nobody waits for that here.
    const isThere = stats.state === "ready" || stats.state === "draining";
    const answer: SidecarInfo = isThere
      ? { fingerprint: (await text).fingerprint, info: await engine.ready, stats }
      : { fingerprint: null, info: null, stats };
    return c.json(answer);
  });

  app.post(GENERATE_PATH, async (c) => {
    const request = parseBody(generateRequest, await readJson(c.req.raw, limits.bodyBytes));
    c.get("record").promptTokens = request.prompt.length;
    return streamResponse(c, { ...service, limits }, {
      events: (signal) => together(lines(c, engine, request, signal)),
      since: performance.now(),
      errorEvent: (error) => [errorLine(error)],
    });
  });

  return app;
}

async function* lines(
  c: RouteContext,
  engine: Engine,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<Line> {
  // Deno tells of a client that leaves once its answer has begun.
  yield ACCEPTED;
  const record = c.get("record");
  try {
    for await (const event of engine.generate(request, signal)) {
      if (event.type === "token") record.tokens = (record.tokens ?? 0) + 1;
      yield eventLine(event);
    }
  } catch (error) {
    noteError(c, error);
    yield errorLine(error);
  }
}
