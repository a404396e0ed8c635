/** The same failures as each API's clients expect them: TGI's, OpenAI's, KoboldAI's and our own. */
import assert from "node:assert/strict";
import { Hono } from "hono";
import { EngineError } from "../../model/engine.ts";
import { errorResponse } from "../../routes/error_shapes.ts";
import { ApiError } from "../../routes/errors.ts";
import { CALL } from "./dialogue_client.ts";
import { testApp } from "./helpers.ts";

/** What a client of `path` receives for an error. */
async function told(path: string, error: ApiError) {
  const app = new Hono();
  app.onError((thrown, c) => errorResponse(c, thrown as ApiError));
  app.all("*", () => {
    throw error;
  });
  const response = await app.request(path);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
}

const WRONG = new ApiError(422, "validation", "no good", {}, "n");
const BUSY = new ApiError(429, "overloaded", "Model is overloaded", { "retry-after": "1" });
const BROKEN = new ApiError(424, "generation", "it broke");
const LOADING = new ApiError(503, "loading", "The model is loading: 42 %", { "retry-after": "1" });
const NO_KEY = new ApiError(401, "unauthorized", "no key", { "www-authenticate": "Bearer" });

Deno.test("an engine that is busy tells each API's clients when to come back", async () => {
  const error = new EngineError("busy", "Too many requests are waiting.", 7);
  const { post } = testApp({ failAfter: 0, error });
  const cases: [path: string, body: object, status: number][] = [
    ["/generate", { inputs: "a" }, 429],
    ["/generate_stream", { inputs: "a" }, 429],
    ["/v1/completions", { model: "x", prompt: "a" }, 429],
    ["/v1/completions", { model: "x", prompt: "a", stream: true }, 429],
    ["/v1/chat/completions", { model: "x", messages: [{ role: "user", content: "a" }] }, 429],
    ["/v1/dialogues", CALL, 429],
    ["/v1/dialogues", { ...CALL, stream: true }, 429],
    ["/api/v1/generate", { prompt: "a" }, 503],
    ["/api/extra/generate/stream", { prompt: "a" }, 503],
  ];
  for (const [path, body, status] of cases) {
    const response = await post(path, body);
    assert.deepEqual([response.status, response.headers.get("retry-after")], [status, "7"], path);
    assert.match(await response.text(), /overloaded|busy/, path);
  }
});

Deno.test("each API's status and JSON for each kind of error, and its headers", async () => {
  const openai = (
    message: string,
    type: string,
    code: string | null = null,
    param: string | null = null,
  ) => JSON.stringify({ error: { message, type, param, code } });
  const cases: [paths: string[], error: ApiError, status: number, text: string][] = [
    [
      ["/v1/completions", "/v1/chat/completions", "/v1/models", "/v1/embeddings", "/v1"],
      WRONG,
      400,
      openai("no good", "invalid_request_error", null, "n"),
    ],
    [
      ["/v1/completions"],
      BUSY,
      429,
      openai(
        "The engine is currently overloaded, please try again later.",
        "requests",
        "rate_limit_exceeded",
      ),
    ],
    [["/v1/completions"], BROKEN, 500, openai("it broke", "server_error")],
    [
      ["/v1/completions"],
      LOADING,
      503,
      openai("The model is loading: 42 %", "server_error"),
    ],
    [["/v1/models"], NO_KEY, 401, openai("no key", "invalid_request_error", "invalid_api_key")],

    [["/api/v1/generate", "/api/extra/abort"], WRONG, 422, '{"detail":{"n":["no good"]}}'],
    [
      ["/api/v1/generate"],
      BUSY,
      503,
      '{"detail":{"msg":"Server is busy; please try again later.","type":"service_unavailable"}}',
    ],
    [
      ["/api/v1/generate"],
      LOADING,
      503,
      '{"detail":{"msg":"The model is loading: 42 %","type":"service_unavailable"}}',
    ],
    [["/api/v1/model"], NO_KEY, 401, '{"detail":{"msg":"no key","type":"unauthorized"}}'],

    [
      ["/", "/generate", "/v1/dialogues", "/v1/prompts", "/v1/prompts/parse", "/elsewhere"],
      WRONG,
      422,
      '{"error":"no good","error_type":"validation"}',
    ],
    [["/generate", "/v1/dialogues"], BROKEN, 424, '{"error":"it broke","error_type":"generation"}'],
    [["/", "/generate", "/generate_stream", "/tokenize", "/info"], NO_KEY, 401, ""],
    [["/v1/dialogues", "/docs"], NO_KEY, 401, '{"error":"no key","error_type":"unauthorized"}'],
  ];
  for (const [paths, error, status, text] of cases) {
    for (const path of paths) {
      const answer = await told(path, error);
      assert.deepEqual([path, answer.status, answer.text], [path, status, text]);
      for (const [name, value] of Object.entries(error.headers)) {
        assert.equal(answer.headers.get(name), value);
      }
    }
  }
});
