/**
 * KoboldAI's generation routes, as KoboldCpp serves them: whole, streamed, looked at, aborted.
 *
 * Knows the order of the work. What a field means is `kobold_job.ts`, what an answer looks like is
 * `kobold_answer.ts`.
 */
import { Hono } from "hono";
import { affinityOf, readBody, type RouteContext, streamResponse } from "./generation.ts";
import { readOptionalJson } from "./json_body.ts";
import { type KoboldCall, streamedAnswer, wholeAnswers } from "./kobold_answer.ts";
import { koboldJob } from "./kobold_job.ts";
import { KoboldRuns } from "./kobold_runs.ts";
import { koboldGenerate, koboldKey, koboldRefusal, parseKobold } from "./kobold_schema.ts";
import type { RouteEnv } from "./request_log.ts";
import type { Service } from "./service.ts";

export function koboldRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  const { engine, limits } = service;
  const runs = new KoboldRuns();

  async function readCall(c: RouteContext): Promise<{ call: KoboldCall; n: number }> {
    const { model, json } = await readBody(c, service);
    const body = parseKobold(koboldGenerate, json);
    const request = { ...koboldJob(body, model, limits), ...affinityOf(c) };
    const record = c.get("record");
    record.promptTokens = request.prompt.length;
    const key = body.genkey ?? "";
    const { signal } = c.req.raw;
    return { call: { engine, model, runs, record, key, request, signal }, n: body.n ?? 1 };
  }

  async function readKey(c: RouteContext): Promise<string> {
    const json = await readOptionalJson(c.req.raw, limits.bodyBytes);
    return parseKobold(koboldKey, json).genkey ?? "";
  }

  app.post("/api/v1/generate", async (c) => {
    const { call, n } = await readCall(c);
    return c.json({ results: await wholeAnswers(call, n) });
  });

  app.post("/api/extra/generate/stream", async (c) => {
    const { call, n } = await readCall(c);
    if (n > 1) throw koboldRefusal("n", "Must be 1 when streaming.");
    return await streamResponse(c, service, {
      events: (signal) => streamedAnswer({ ...call, signal }),
      since: performance.now(),
      named: true,
    });
  });

  app.get("/api/extra/generate/check", (c) => c.json({ results: [{ text: runs.textOf("") }] }));
  app.post(
    "/api/extra/generate/check",
    async (c) => c.json({ results: [{ text: runs.textOf(await readKey(c)) }] }),
  );

  app.post("/api/extra/abort", async (c) => c.json({ success: runs.abort(await readKey(c)) }));

  app.get("/api/extra/perf", (c) => c.json(runs.figures(engine.stats().waiting)));

  return app;
}
