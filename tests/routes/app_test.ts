/** What every route has in common: bodies, statuses, ids, headers, the log; and health and info. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError } from "../../model/engine.ts";
import { ids, jsonPost, testApp, until, withServer } from "./helpers.ts";
import { head as headOf, raw } from "./raw.ts";

const ROUTES = ["/", "/generate", "/generate_stream"];
const JSON_TYPE = { "content-type": "application/json" };

Deno.test("bodies that are not JSON are refused before anything else", async () => {
  const { app, engine } = testApp();
  const cases: [
    headers: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer>,
    status: number,
  ][] = [
    [JSON_TYPE, "{", 400],
    [JSON_TYPE, "", 400],
    [JSON_TYPE, '{"inputs":"a"} x', 400],
    [JSON_TYPE, new Uint8Array([0x22, 0xff, 0x22]), 400],
    [{}, '{"inputs":"a"}', 415],
    [{ "content-type": "text/plain" }, '{"inputs":"a"}', 415],
    [{ "content-type": "application/jsonp" }, '{"inputs":"a"}', 415],
    [{ "content-type": "application/x-www-form-urlencoded" }, "inputs=a", 415],
    [{ "content-type": "application/json; charset=utf-8" }, '{"inputs":"a"}', 200],
    [{ "content-type": "Application/JSON" }, '{"inputs":"a"}', 200],
    [{ "content-type": "application/vnd.api+json" }, '{"inputs":"a"}', 200],
  ];
  for (const path of ROUTES) {
    for (const [headers, text, status] of cases) {
      const body = typeof text === "string" ? new TextEncoder().encode(text) : text;
      const response = await app.request(path, { method: "POST", headers, body });
      assert.equal(response.status, status, `${path} ${JSON.stringify(headers)} ${text}`);
      if (status === 200) {
        await response.body!.cancel();
        continue;
      }
      const { error, error_type } = await response.json();
      assert.equal(error_type, status === 400 ? "syntax" : "content_type");
      assert.ok(!error.includes("inputs"), error);
    }
  }
  assert.equal(engine.requests.length, 3 * ROUTES.length);
});

Deno.test("a body may have 2,000,000 bytes and not one more", async () => {
  const { app } = testApp();
  for (const [size, status] of [[2_000_000, 422], [2_000_001, 413]] as const) {
    const body = JSON.stringify({ inputs: "a".repeat(size - '{"inputs":""}'.length) });
    assert.equal(body.length, size);
    const response = await app.request("/generate", { method: "POST", headers: JSON_TYPE, body });
    assert.equal(response.status, status);
    const { error_type } = await response.json();
    assert.equal(error_type, status === 413 ? "too_large" : "validation");
  }
});

Deno.test("what is no route is 404, and another method 405, in TGI's error shape", async () => {
  const { app, log } = testApp();
  const cases = [
    ["GET", "/no/such?x=1", 404, "not_found"],
    ["POST", "/health/x", 404, "not_found"],
    ["GET", "/generate", 405, "method_not_allowed"],
    ["PUT", "/generate_stream", 405, "method_not_allowed"],
  ] as const;
  for (const [method, path, status, type] of cases) {
    const response = await app.request(path, { method });
    assert.equal(response.status, status);
    assert.equal(response.headers.get("allow"), status === 405 ? "POST" : null);
    assert.deepEqual(Object.keys(await response.json()), ["error", "error_type"]);
    assert.equal(log.at(-1)!.error, type);
  }
  assert.deepEqual(log.map(({ route }) => route), ["-", "-", "/generate", "/generate_stream"]);
});

Deno.test("every answer carries a request id and security headers", async () => {
  const { app, post } = testApp();
  const responses = [
    await app.request("/health"),
    await app.request("/nowhere"),
    await post("/generate", {}),
    await post("/generate", { inputs: "a", parameters: { max_new_tokens: 1 } }),
    await post("/generate_stream", { inputs: "a", parameters: { max_new_tokens: 1 } }),
  ];
  for (const { headers, body } of responses) {
    assert.match(headers.get("x-request-id")!, /^[0-9a-f-]{36}$/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("x-frame-options"), "DENY");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    await body!.cancel();
  }
  const own = await app.request("/health", { headers: { "x-request-id": "mine-1" } });
  assert.equal(own.headers.get("x-request-id"), "mine-1");
});

Deno.test("the log has a line a request, with figures and without its text", async () => {
  const { post, log } = testApp({ script: ids("reply") });
  const parameters = { max_new_tokens: 5 };
  await post("/generate", { inputs: "hush", parameters });
  await (await post("/generate_stream", { inputs: "hush", parameters })).text();
  await post("/generate", { inputs: "hush", parameters: { top_k: 0 } });
  assert.equal(log.length, 3);
  for (const line of log.slice(0, 2)) {
    assert.equal(line.method, "POST");
    assert.equal(line.status, 200);
    assert.equal(line.prompt_tokens, 4);
    assert.equal(line.tokens, 5);
    assert.ok(line.tokens_per_second! > 0 && line.ms > 0);
    assert.equal(line.error, undefined);
  }
  assert.deepEqual(log.map(({ route }) => route), ["/generate", "/generate_stream", "/generate"]);
  assert.equal(log[2]!.error, "validation");
  assert.doesNotMatch(JSON.stringify(log), /hush|reply/);
});

Deno.test("while the model loads: 503 everywhere, with the percentage", async () => {
  const { app, post, engine } = testApp({ state: "loading", progress: 0.429 });
  const health = await app.request("/health");
  assert.equal(health.status, 503);
  assert.deepEqual(await health.json(), {
    error: "unhealthy",
    error_type: "healthcheck",
    status: "loading",
    progress: 42,
  });
  const refusals = [
    await app.request("/info"),
    ...await Promise.all(ROUTES.map((path) => post(path, { inputs: "a", stream: true }))),
  ];
  for (const response of refusals) {
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("retry-after"), "1");
    assert.deepEqual(await response.json(), {
      error: "The model is loading: 42 %",
      error_type: "loading",
    });
  }

  engine.finishLoading();
  for (const path of ["/health", "/"]) {
    const healthy = await app.request(path);
    assert.equal(healthy.status, 200);
    assert.deepEqual(await healthy.json(), { status: "ready" });
  }
  assert.equal((await post("/generate", { inputs: "a" })).status, 200);
});

Deno.test("draining and a lost GPU show in health and refuse requests", async () => {
  const { app, post, engine } = testApp();
  await engine.drain();
  const draining = await app.request("/health");
  assert.equal(draining.status, 503);
  assert.equal((await draining.json()).status, "draining");
  assert.equal((await post("/generate_stream", { inputs: "a" })).status, 503);

  engine.lose("device lost");
  const lost = await app.request("/health");
  assert.equal(lost.status, 503);
  assert.deepEqual(await lost.json(), {
    error: "unhealthy",
    error_type: "healthcheck",
    status: "lost",
  });
  assert.equal((await post("/generate", { inputs: "a" })).status, 424);
});

Deno.test("GET /info has TGI's fields and ours", async () => {
  const { app } = testApp({
    info: {
      model: "TheBloke/Claire-7B-0.1-GPTQ",
      adapter: "NVIDIA H200",
      software: false,
      pathReason: "1.79 ms a token against 2.05",
      maxPositions: 2048,
      gpuMemoryBytes: 4_500_000_000,
    },
  }, { concurrentRequests: 7 });
  assert.deepEqual(await (await app.request("/info")).json(), {
    model_id: "TheBloke/Claire-7B-0.1-GPTQ",
    model_sha: null,
    model_pipeline_tag: "text-generation",
    max_concurrent_requests: 7,
    max_best_of: 2,
    max_stop_sequences: 4,
    max_input_tokens: 2047,
    max_total_tokens: 2048,
    validation_workers: 1,
    max_client_batch_size: 4,
    router: "clairon",
    version: "0.1.0",
    sha: null,
    docker_label: null,
    adapter: "NVIDIA H200",
    software: false,
    path: "portable",
    path_reason: "1.79 ms a token against 2.05",
    bits: 4,
    group_size: 128,
    act_order: true,
    gpu_memory_bytes: 4_500_000_000,
  });
});

Deno.test("running streams end with an error event when the engine is lost or closed", async () => {
  for (const end of ["lose", "close"] as const) {
    const { app, engine } = testApp({ delay: 2 });
    await withServer(app, async (url) => {
      const response = await fetch(`${url}/generate_stream`, jsonPost({ inputs: "a" }));
      await until(() => engine.requests[0]!.tokens > 2);
      engine[end]("raw driver text");
      const events = (await response.text()).trimEnd().split("\n\n");
      assert.equal(
        events.at(-1),
        'data: {"error":"Request failed during generation: the engine stopped",' +
          '"error_type":"generation"}',
      );
    });
  }
});

/** Names that steer the generator towards real fields. */
const FIELDS = [
  ...["best_of", "temperature", "repetition_penalty", "frequency_penalty", "top_k", "top_p"],
  ...["typical_p", "do_sample", "max_new_tokens", "return_full_text", "stop", "truncate"],
  ...["watermark", "details", "decoder_input_details", "seed", "top_n_tokens", "grammar"],
  ...["adapter_id", "__proto__", "constructor"],
];

Deno.test("no JSON body gives a 5xx, and every refusal has the error shape", async () => {
  const { post } = testApp({ info: { maxPositions: 40 } });
  const value = fc.oneof(
    fc.jsonValue(),
    fc.double(),
    fc.integer({ min: -3, max: 30 }),
    fc.boolean(),
    fc.array(fc.string({ unit: "binary", maxLength: 3 }), { maxLength: 5 }),
  );
  const parameters = fc.dictionary(fc.constantFrom(...FIELDS), value, { maxKeys: 4 });
  const request = fc.record({
    inputs: fc.oneof(
      { weight: 9, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
      fc.jsonValue(),
    ),
    parameters: fc.oneof({ weight: 9, arbitrary: parameters }, fc.jsonValue()),
    stream: fc.oneof(fc.boolean(), fc.jsonValue()),
  }, { requiredKeys: [] });
  const body = fc.oneof({ weight: 9, arbitrary: request }, fc.jsonValue());
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...ROUTES), body, async (path, json) => {
      const response = await post(path, json);
      statuses.add(response.status);
      const text = await response.text();
      if (response.status === 200) return assert.doesNotMatch(text, /"error_type"/);
      assert.equal(response.status, 422, text);
      const { error, error_type } = JSON.parse(text);
      assert.equal(typeof error, "string");
      assert.equal(error_type, "validation");
    }),
    { numRuns: 1000 },
  );
  assert.deepEqual([...statuses].sort(), [200, 422]);
});

Deno.test("no bytes give a 5xx", async () => {
  const { app } = testApp();
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
    const body = new Uint8Array(bytes);
    const response = await app.request("/generate", { method: "POST", headers: JSON_TYPE, body });
    assert.ok([400, 422].includes(response.status), await response.text());
  }));
});

function head(lines: string): string {
  return headOf("/generate", lines);
}

Deno.test("raw connections: sizes, chunks, and clients that die in the middle of a body", async () => {
  const { app, engine, log } = testApp();
  await withServer(app, async (_url, port) => {
    const declared = await raw(port, [head("Content-Length: 2000001"), "{"]);
    assert.match(declared, /^HTTP\/1\.1 413 /);
    assert.match(declared, /"error_type":"too_large"/);

    const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    const chunked = await raw(port, [head("Transfer-Encoding: chunked"), ...Array(40).fill(chunk)]);
    assert.match(chunked, /^HTTP\/1\.1 413 /);

    const malformed = await raw(port, [head("Content-Length: 3"), '{"i']);
    assert.match(malformed, /^HTTP\/1\.1 400 /);
    assert.match(malformed, /"error_type":"syntax"/);

    const both = await raw(port, [head("Content-Length: 2\r\nTransfer-Encoding: chunked"), "{}"]);
    assert.match(both, /^HTTP\/1\.1 400 /);

    const before = log.length;
    await raw(port, [head("Content-Length: 100"), '{"inputs":"a'], true);
    await raw(port, [head("Transfer-Encoding: chunked"), '5\r\n{"inp\r\n'], true);
    await until(() => log.length === before + 2);
    for (const { status, fault } of log.slice(before)) {
      assert.ok(status === 400 || status === 499, `${status}`);
      assert.equal(fault, undefined);
    }

    const deep = "[".repeat(200_000);
    const nested = await raw(port, [head(`Content-Length: ${deep.length}`), deep]);
    assert.match(nested, /^HTTP\/1\.1 400 /);

    const fine = '{"inputs":"a","parameters":{"max_new_tokens":2}}';
    const served = await raw(port, [head(`Content-Length: ${fine.length}`), fine]);
    assert.match(served, /^HTTP\/1\.1 200 [^]*\{"generated_text":"Bo"\}$/);
    assert.equal(engine.requests.length, 1);
  });
});

Deno.test("the app says what it cannot do, not why", async () => {
  const { post } = testApp({ failAfter: 0, error: new EngineError("failed", "vkQueueSubmit: -4") });
  assert.doesNotMatch(await (await post("/generate", { inputs: "a" })).text(), /vk/);
});
