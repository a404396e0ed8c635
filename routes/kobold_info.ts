/**
 * What KoboldAI's clients ask before they generate: versions, lengths, the model, token counts.
 *
 * Knows KoboldCpp's answers. Knows nothing of how text is generated.
 */
import { Hono } from "hono";
import { readJson } from "./json_body.ts";
import { DEFAULT_MAX_LENGTH } from "./kobold_job.ts";
import { koboldDetokenize, koboldRefusal, koboldTokenCount, parseKobold } from "./kobold_schema.ts";
import type { RouteEnv } from "./request_log.ts";
import { readyModel, type Service } from "./service.ts";

/** The version of United's API, and of KoboldCpp's: clients infer from them what there is. */
const UNITED = "1.2.5";
const KOBOLDCPP = "1.80";

/** @param keyed whether clients need a key; they ask their user for it */
export function koboldInfoRoutes(service: Service, keyed: boolean): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  const { limits } = service;

  app.get("/api/v1/info/version", (c) => c.json({ result: UNITED }));
  app.get("/api/extra/version", (c) =>
    c.json({
      result: "KoboldCpp",
      version: KOBOLDCPP,
      protected: keyed,
      txt2img: false,
      vision: false,
      transcribe: false,
      multiplayer: false,
      websearch: false,
      tts: false,
      embeddings: false,
      admin: 0,
    }));

  app.get("/api/v1/model", async (c) => {
    const { info } = await readyModel(service);
    return c.json({ result: info.model });
  });
  for (const path of ["/api/v1/config/max_context_length", "/api/extra/true_max_context_length"]) {
    app.get(path, async (c) => {
      const { info } = await readyModel(service);
      return c.json({ value: info.maxPositions });
    });
  }
  app.get("/api/v1/config/max_length", (c) => c.json({ value: DEFAULT_MAX_LENGTH }));

  app.post("/api/extra/tokencount", async (c) => {
    const { tokenizer } = await readyModel(service);
    const json = await readJson(c.req.raw, limits.bodyBytes);
    const { prompt } = parseKobold(koboldTokenCount, json);
    if (prompt.length > limits.inputCharacters) {
      throw koboldRefusal("prompt", `Longer than maximum length ${limits.inputCharacters}.`);
    }
    const ids = tokenizer.encode(prompt);
    return c.json({ value: ids.length, ids });
  });

  app.post("/api/extra/detokenize", async (c) => {
    const { tokenizer } = await readyModel(service);
    const { ids } = parseKobold(koboldDetokenize, await readJson(c.req.raw, limits.bodyBytes));
    return c.json({ result: tokenizer.decode(ids), success: true });
  });

  return app;
}
