/** The internal routes: behind a key of their own, absent without one, true to the engine. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError, type GenerateRequest, GREEDY } from "../../model/engine.ts";
import { createApp } from "../../routes/app.ts";
import type { RequestLogLine } from "../../routes/request_log.ts";
import type { Limits } from "../../routes/service.ts";
import { FakeEngine, type FakeEngineOptions } from "../model/fake_engine.ts";
import {
  END_OF_TEXT,
  FOREVER,
  jsonPost,
  readEvents,
  testApp,
  tokenizer,
  until,
  withServer,
} from "./helpers.ts";
import { head } from "./raw.ts";

const KEY = "between-us";
const GENERATE = "/internal/v1/generate";
const INFO = "/internal/v1/info";

const REQUEST: GenerateRequest = {
  prompt: [20, 21],
  maxNewTokens: 3,
  sampling: GREEDY,
  stopTokens: [END_OF_TEXT],
  topTokens: 0,
  promptLogprobs: false,
};

function sidecar(
  options: FakeEngineOptions = {},
  keys: string[] = [],
  limits: Partial<Limits> = {},
) {
  const engine = new FakeEngine(options);
  const log: RequestLogLine[] = [];
  const text = Promise.resolve({ tokenizer, stopTokens: [END_OF_TEXT], fingerprint: "f00d" });
  const app = createApp({
    engine,
    text,
    sidecarKey: KEY,
    access: { keys },
    limits,
    log: (line) => log.push(line),
  });
  return { app, engine, log };
}

function withKey(init: RequestInit = {}, key = KEY): RequestInit {
  return { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } };
}

Deno.test("tokens come as short lines, the first of which says that the request came in", async () => {
  const { app, engine, log } = sidecar({
    script: [30, { id: 31, logprob: -1, processedLogprob: -Infinity }],
  });
  const response = await app.request(GENERATE, withKey(jsonPost(REQUEST)));
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.deepEqual((await readEvents(response)).flat(), [
    { accepted: true },
    { token: [30, -0.5, -0.5] },
    { token: [31, -1, "-inf"] },
    { token: [30, -0.5, -0.5], finish: "length" },
  ]);
  assert.deepEqual(engine.requests[0]!.request, REQUEST);
  assert.equal(log[0]!.prompt_tokens, 2);
  assert.equal(log[0]!.tokens, 3);
});

Deno.test("what the engine refuses is a line with its code, before and after the first token", async () => {
  for (const failAfter of [0, 2]) {
    const { app, log } = sidecar({
      failAfter,
      error: new EngineError("lost", "The GPU was lost."),
    });
    const response = await app.request(GENERATE, withKey(jsonPost(REQUEST)));
    const events = (await readEvents(response)).flat();
    assert.equal(events.length, 2 + failAfter);
    assert.deepEqual(events.at(-1), { error: { code: "lost", message: "The GPU was lost." } });
    assert.equal(log[0]!.error, "generation");
  }
});

Deno.test("without a sidecar key there is no such route, and an API key opens none", async () => {
  const engine = new FakeEngine();
  const text = Promise.resolve({ tokenizer, stopTokens: [], fingerprint: "" });
  const plain = createApp({ engine, text });
  assert.equal((await plain.request(INFO, withKey())).status, 404);
  assert.equal((await plain.request(GENERATE, withKey(jsonPost(REQUEST)))).status, 404);

  const { app } = sidecar({}, ["api-key"]);
  for (const [path, init] of [[INFO, {}], [GENERATE, jsonPost(REQUEST)]] as const) {
    assert.equal((await app.request(path, init)).status, 401);
    assert.equal((await app.request(path, withKey(init, "api-key"))).status, 401);
    assert.equal((await app.request(path, withKey(init))).status, 200);
  }
  assert.equal((await app.request("/info", withKey())).status, 401, "it opens nothing else");
});

Deno.test("there are these two routes, and the public document has none of them", async () => {
  const { app } = sidecar();
  const internal = app.routes.filter(({ method, path }) =>
    method !== "ALL" && path.startsWith("/internal/")
  );
  assert.deepEqual(internal.map(({ method, path }) => `${method} ${path}`), [
    `GET ${INFO}`,
    `POST ${GENERATE}`,
  ]);
  const { paths } = await (await app.request("/openapi.json")).json();
  assert.deepEqual(Object.keys(paths).filter((path) => path.startsWith("/internal")), []);
});

Deno.test("its information has figures and a fingerprint, and no line in the log", async () => {
  const { app, engine, log } = sidecar({ info: { model: "claire" } });
  const info = await (await app.request(INFO, withKey())).json();
  assert.deepEqual(info, {
    fingerprint: "f00d",
    info: JSON.parse(JSON.stringify(engine.info)),
    stats: JSON.parse(JSON.stringify(engine.stats())),
  });
  assert.deepEqual(log, []);
  const loading = sidecar({ state: "loading", progress: 0.25 });
  const { stats, ...rest } = await (await loading.app.request(INFO, withKey())).json();
  assert.deepEqual(rest, { fingerprint: null, info: null });
  assert.equal(stats.progress, 0.25);
});

Deno.test("no body gives a 5xx or reaches the engine half-checked", async () => {
  const { app, engine, log } = sidecar();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.jsonValue(),
        fc.record(
          Object.fromEntries(
            Object.entries(REQUEST).map(([name, value]) => [
              name,
              fc.oneof(fc.constant(value), fc.jsonValue()),
            ]),
          ),
        ),
      ),
      async (body) => {
        const response = await app.request(GENERATE, withKey(jsonPost(body)));
        await response.text();
        assert.ok(response.status === 200 || response.status === 422, `${response.status}`);
      },
    ),
    { numRuns: 200 },
  );
  for (const { request } of engine.requests) {
    assert.ok(request.prompt.every(Number.isInteger) && request.maxNewTokens >= 1);
  }
  assert.ok(log.every(({ fault }) => fault === undefined));
  const extra = await app.request(GENERATE, withKey(jsonPost({ ...REQUEST, priority: 1 })));
  assert.equal(extra.status, 422);
  assert.match((await extra.json()).error, /priority/);
});

Deno.test("an edge that leaves while its long request waits ends that", async () => {
  const { app, engine, log } = sidecar({ delay: FOREVER });
  await withServer(app, async (url) => {
    const leave = new AbortController();
    const request = { ...REQUEST, prompt: Array(2000).fill(20), maxNewTokens: 9 };
    const response = await fetch(url + GENERATE, withKey(jsonPost(request, leave.signal)));
    await until(() => engine.running === 1);
    leave.abort();
    await response.body!.cancel().catch(() => {});
    await until(() => engine.cancellations === 1 && log.length === 1);
    assert.equal(log[0]!.error, "cancelled");
  });
});

Deno.test("an edge that reads nothing is told so, as a line, and its work ends", async () => {
  const { app, engine, log } = sidecar({ info: { maxPositions: 1e6 } }, [], { stall: 300 });
  await withServer(app, async (_url, port) => {
    const body = JSON.stringify({ ...REQUEST, maxNewTokens: 900_000, topTokens: 5 });
    const lines = `Authorization: Bearer ${KEY}\r\nContent-Length: ${body.length}`;
    const silent = await Deno.connect({ hostname: "127.0.0.1", port });
    await silent.write(new TextEncoder().encode(head(GENERATE, lines) + body));
    await until(() => log.length === 1);
    assert.equal(log[0]!.error, "unread");
    assert.equal(engine.running, 0);
    const text = await new Response(silent.readable).text();
    const last = text.split("\n").filter((line) => line.startsWith("data: ")).at(-1)!;
    assert.deepEqual(JSON.parse(last.slice("data: ".length)), [
      { error: { code: "unread", message: "The stream was not read." } },
    ]);
  });
});

Deno.test("x-session-id reaches the engine from every API, and nothing does without it", async () => {
  const cases = {
    "/generate": { inputs: "x" },
    "/generate_stream": { inputs: "x" },
    "/v1/completions": { prompt: "x" },
    "/v1/chat/completions": { messages: [{ role: "user", content: "x" }] },
    "/v1/dialogues": { turns: [{ text: "x" }] },
    "/api/v1/generate": { prompt: "x", max_length: 5 },
    "/api/extra/generate/stream": { prompt: "x", max_length: 5 },
  };
  for (const [path, body] of Object.entries(cases)) {
    const { app, engine, post } = testApp();
    const init = jsonPost(body);
    const headers = { ...init.headers, "x-session-id": "s1" };
    await (await app.request(path, { ...init, headers })).text();
    await (await post(path, body)).text();
    const affinities = engine.requests.map(({ request }) => request.affinity);
    assert.deepEqual(affinities, ["s1", undefined], path);
  }
});
