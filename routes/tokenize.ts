/**
 * `POST /tokenize`, as in TGI: a prompt's tokens and where they lie in it.
 *
 * Knows TGI's field names. Takes the body of `/generate`, and looks at `inputs` alone.
 */
import { Hono } from "hono";
import { tokenSpans } from "../model/token_spans.ts";
import { validationError } from "./errors.ts";
import { readBody } from "./generation.ts";
import type { RouteEnv } from "./request_log.ts";
import type { Service } from "./service.ts";
import { parseTgiRequest } from "./tgi_schema.ts";

export function tokenizeRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  app.post("/tokenize", async (c) => {
    const { model: { tokenizer }, json } = await readBody(c, service);
    const { inputs } = parseTgiRequest(json);
    const most = service.limits.inputCharacters;
    if (inputs.length > most) {
      throw validationError(
        `\`inputs\` must have at most ${most} characters. Given: ${inputs.length}`,
      );
    }
    const spans = tokenSpans(tokenizer, inputs);
    c.get("record").promptTokens = spans.length;
    return c.json(spans);
  });
  return app;
}
