/**
 * `POST /invocations`, SageMaker's name for every way to generate, as TGI has it: the body's own
 * fields say which one is meant.
 *
 * Knows how to tell them apart. Knows nothing of how they answer; errors come in TGI's shape.
 */
import { Hono } from "hono";
import { readBody } from "./generation.ts";
import { answerChat, answerCompletion } from "./openai.ts";
import type { RouteEnv } from "./request_log.ts";
import type { Service } from "./service.ts";
import { compatGenerate } from "./tgi.ts";

export function invocationRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  app.post("/invocations", async (c) => {
    const body = await readBody(c, service);
    const has = (field: string) => Object.hasOwn(Object(body.json), field);
    if (has("inputs")) return await compatGenerate(c, service, body);
    if (has("messages")) return await answerChat(c, service, body);
    if (has("prompt")) return await answerCompletion(c, service, body);
    return await compatGenerate(c, service, body);
  });
  return app;
}
