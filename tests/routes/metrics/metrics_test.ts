/** `/metrics`: the names that dashboards and routers know, and counts that are right. */
import assert from "node:assert/strict";
import { EngineError } from "../../../model/engine.ts";
import { FOREVER, ids, type TestApp, testApp, until } from "../helpers.ts";
import { readExposition, valueOf } from "./exposition.ts";

async function scrape({ app, engine }: TestApp) {
  if (engine.state === "ready") await engine.ready;
  const response = await app.request("/metrics");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return readExposition(await response.text());
}

/** Names that TGI's dashboard asks for, as TGI has them. */
const TGI = {
  tgi_request_count: "counter",
  tgi_request_success: "counter",
  tgi_request_failure: "counter",
  tgi_request_duration: "histogram",
  tgi_request_queue_duration: "histogram",
  tgi_request_inference_duration: "histogram",
  tgi_request_mean_time_per_token_duration: "histogram",
  tgi_request_input_length: "histogram",
  tgi_request_max_new_tokens: "histogram",
  tgi_request_generated_tokens: "histogram",
  tgi_queue_size: "gauge",
  tgi_batch_current_size: "gauge",
};

/** Names in the code of vLLM's router and of llm-d's picker. */
const VLLM = {
  "vllm:num_requests_running": "gauge",
  "vllm:num_requests_waiting": "gauge",
  "vllm:gpu_cache_usage_perc": "gauge",
  "vllm:kv_cache_usage_perc": "gauge",
  "vllm:gpu_prefix_cache_hit_rate": "gauge",
  "vllm:prefix_cache_queries_total": "counter",
  "vllm:prefix_cache_hits_total": "counter",
  "vllm:gpu_prefix_cache_queries_total": "counter",
  "vllm:gpu_prefix_cache_hits_total": "counter",
};

Deno.test("metrics: every name that TGI's users and routers look for is there", async () => {
  const { types, samples } = await scrape(testApp({ info: { model: 'a "model"' } }));
  for (const [name, type] of Object.entries({ ...TGI, ...VLLM })) {
    assert.equal(types.get(name), type, name);
  }
  for (const name of Object.keys(VLLM)) {
    const found = samples.filter((sample) => sample.name === name);
    assert.deepEqual(found.map(({ labels }) => labels), [{ model_name: String.raw`a \"model\"` }]);
  }
});

Deno.test("metrics: what the engine says is what a scrape says", async () => {
  const test = testApp({ info: { model: "claire", gpuMemoryBytes: 4190 } });
  const stats = test.engine.stats();
  test.engine.stats = () => ({
    ...stats,
    state: "draining",
    running: 3,
    waiting: 5,
    rows: 700,
    steps: 70,
    blocksUsed: 16,
    blocksTotal: 64,
    prefixQueries: 200,
    prefixHits: 50,
    guessesMade: 40,
    guessesRight: 30,
    cancelledQueued: 1,
    cancelledPrefill: 2,
    cancelledDecode: 4,
    cancelledWriting: 8,
    refusedFull: 6,
    refusedLate: 9,
    restarts: 1,
  });
  // Twice: counters that are read must not add up.
  await scrape(test);
  const seen = await scrape(test);
  const model = { model_name: "claire" };
  const expected: [string, Record<string, string>, number][] = [
    ["vllm:num_requests_running", model, 3],
    ["vllm:num_requests_waiting", model, 5],
    ["vllm:gpu_cache_usage_perc", model, 0.25],
    ["vllm:kv_cache_usage_perc", model, 0.25],
    ["vllm:prefix_cache_queries_total", model, 200],
    ["vllm:prefix_cache_hits_total", model, 50],
    ["vllm:gpu_prefix_cache_hit_rate", model, 0.25],
    ["tgi_batch_current_size", {}, 3],
    ["tgi_queue_size", {}, 5],
    ["vllm:cache_config_info", { ...model, block_size: "32", num_gpu_blocks: "64" }, 1],
    ["clairon_kv_tokens", {}, 2048],
    ["clairon_rows_total", {}, 700],
    ["clairon_steps_total", {}, 70],
    ["clairon_guesses_total", {}, 40],
    ["clairon_guesses_right_total", {}, 30],
    ["clairon_kv_blocks_used", {}, 16],
    ["clairon_kv_blocks_total", {}, 64],
    ["clairon_gpu_memory_bytes", {}, 4190],
    ["clairon_cancellations_total", { phase: "queued" }, 1],
    ["clairon_cancellations_total", { phase: "prefill" }, 2],
    ["clairon_cancellations_total", { phase: "decode" }, 4],
    ["clairon_cancellations_total", { phase: "writing" }, 8],
    ["clairon_queue_refusals_total", { reason: "full" }, 6],
    ["clairon_queue_refusals_total", { reason: "late" }, 9],
    ["clairon_restarts_total", {}, 1],
    ["clairon_engine_state", { state: "draining" }, 1],
    ["clairon_engine_state", { state: "ready" }, 0],
  ];
  for (const [name, labels, value] of expected) {
    assert.equal(valueOf(seen, name, labels), value, `${name} ${JSON.stringify(labels)}`);
  }
});

Deno.test("metrics: an answer counts once, whichever route it is asked of", async () => {
  // Eight bytes are eight tokens; the answers have three.
  const requests: [string, object][] = [
    ["/generate", { inputs: "Bonjour.", parameters: { max_new_tokens: 3 } }],
    ["/generate_stream", { inputs: "Bonjour.", parameters: { max_new_tokens: 3 } }],
    ["/v1/completions", { prompt: "Bonjour.", max_tokens: 3 }],
    ["/v1/completions", { prompt: "Bonjour.", max_tokens: 3, stream: true }],
    ["/invocations", { inputs: "Bonjour.", parameters: { max_new_tokens: 3 } }],
    ["/api/v1/generate", { prompt: "Bonjour.", max_length: 3 }],
  ];
  for (const [path, body] of requests) {
    const test = testApp({ script: ids("abc"), queuedSeconds: 0.25 });
    await (await test.post(path, body)).text();
    const seen = await scrape(test);
    const figures = {
      tgi_request_count: 1,
      tgi_request_success: 1,
      tgi_request_duration_count: 1,
      tgi_request_queue_duration_sum: 0.25,
      tgi_request_inference_duration_count: 1,
      tgi_request_mean_time_per_token_duration_count: 1,
      tgi_request_input_length_sum: 8,
      tgi_request_max_new_tokens_sum: 3,
      tgi_request_generated_tokens_sum: 3,
      clairon_time_to_first_token_seconds_count: 1,
      clairon_time_per_output_token_seconds_count: 2,
      clairon_prompt_tokens_total: 8,
      clairon_generated_tokens_total: 3,
    };
    for (const [name, value] of Object.entries(figures)) {
      assert.equal(valueOf(seen, name), value, `${path} ${name}`);
    }
    assert.equal(valueOf(seen, "clairon_http_requests_total", { route: path, status: "200" }), 1);
  }
});

Deno.test("metrics: chats and dialogues count, and each of n answers", async () => {
  const test = testApp({ script: ids("oui\n") });
  const messages = [{ role: "user", content: "Bonjour" }];
  await (await test.post("/v1/chat/completions", { messages, max_tokens: 4, n: 3 })).text();
  assert.equal(valueOf(await scrape(test), "tgi_request_success"), 3);
  const turns = [{ speaker: "Camille", text: "Bonjour" }];
  const dialogue = { turns, format: "named", next: "Dominique" };
  await (await test.post("/v1/dialogues", dialogue)).text();
  const seen = await scrape(test);
  assert.equal(valueOf(seen, "tgi_request_success"), 4);
  assert.equal(valueOf(seen, "tgi_request_count"), 4);
});

Deno.test("metrics: an answer that its stop string ends is a success", async () => {
  const test = testApp({ script: ids("abcdef") });
  const parameters = { stop: ["b"], max_new_tokens: 6 };
  await (await test.post("/generate", { inputs: "x", parameters })).text();
  const seen = await scrape(test);
  assert.equal(valueOf(seen, "tgi_request_success"), 1);
  assert.equal(valueOf(seen, "tgi_request_generated_tokens_sum"), 2);
  assert.equal(valueOf(seen, "tgi_request_failure", { err: "dropped" }), 0);
});

Deno.test("metrics: what fails is counted by TGI's word for it, and refusals by their reason", async () => {
  const body = { inputs: "x", parameters: { max_new_tokens: 5 } };
  const failing = testApp({ failAfter: 2, error: new EngineError("failed", "no") });
  await (await failing.post("/generate_stream", body)).text();
  let seen = await scrape(failing);
  assert.equal(valueOf(seen, "tgi_request_failure", { err: "generation" }), 1);
  assert.equal(valueOf(seen, "tgi_request_success"), 0);
  assert.equal(valueOf(seen, "clairon_generated_tokens_total"), 2);

  const full = testApp({ capacity: 0 });
  for (const path of ["/generate", "/v1/completions", "/api/v1/generate"]) {
    await (await full.post(path, { ...body, prompt: "x" })).text();
  }
  seen = await scrape(full);
  assert.equal(valueOf(seen, "tgi_request_failure", { err: "overloaded" }), 3);
  assert.equal(valueOf(seen, "clairon_rejects_total", { reason: "overloaded" }), 3);

  const strict = testApp();
  const tooMuch = { inputs: "x", parameters: { temperature: -1 } };
  for (let i = 0; i < 2; i++) await (await strict.post("/generate", tooMuch)).text();
  seen = await scrape(strict);
  assert.equal(valueOf(seen, "tgi_request_failure", { err: "validation" }), 2);
  assert.equal(valueOf(seen, "clairon_rejects_total", { reason: "validation" }), 2);
  assert.equal(valueOf(seen, "tgi_request_count"), 2);

  const loading = testApp({ state: "loading" });
  await (await loading.post("/generate", body)).text();
  seen = await scrape(loading);
  assert.equal(valueOf(seen, "clairon_rejects_total", { reason: "loading" }), 1);
  assert.equal(valueOf(seen, "clairon_engine_state", { state: "loading" }), 1);
  // There is no model to name yet.
  assert.equal(valueOf(seen, "vllm:num_requests_running"), undefined);
});

Deno.test("metrics: a client that leaves is a failure called dropped", async () => {
  const test = testApp({ delay: FOREVER });
  const left = new AbortController();
  const answer = test.post("/generate", { inputs: "x" }, left.signal);
  await until(() => test.engine.running === 1);
  assert.equal(valueOf(await scrape(test), "tgi_batch_current_size"), 1);
  left.abort();
  await answer.catch(() => {});
  await until(() => test.engine.cancellations === 1);
  const seen = await scrape(test);
  assert.equal(valueOf(seen, "tgi_request_failure", { err: "dropped" }), 1);
  assert.equal(valueOf(seen, "tgi_request_success"), 0);
  assert.equal(valueOf(seen, "clairon_rejects_total", { reason: "overloaded" }), 0);
});

Deno.test("metrics: no client can make up a series, and no prompt or key is among them", async () => {
  const key = "s3cr3t-key";
  const test = testApp({}, {}, { keys: [key] });
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const count = async () => (await scrape(test)).samples.length;
  const ask = async (path: string, method: string, word: string) => {
    const body = JSON.stringify({ inputs: word, prompt: word, model: word, user: word });
    const init = { method, headers, ...(method !== "GET" && { body }) };
    await (await test.app.request(path, init)).text();
  };
  const round = async (i: number) => {
    await ask(`/no/such/${i}`, "GET", "");
    await ask(`/v1/models/secret${i}`, "GET", "");
    await ask("/generate", `BREW${i}`, "secret");
    await ask("/v1/completions", "POST", `secret${i}`);
    await ask("/generate?secret=1", "POST", `secret${i}`);
  };
  await round(0);
  // The scrape itself has a series, too, from the second on.
  await count();
  const before = await count();
  for (let i = 1; i < 20; i++) await round(i);
  assert.equal(await count(), before);
  const text = await (await test.app.request("/metrics")).text();
  assert.doesNotMatch(text, /secret|s3cr3t/);
});

Deno.test("metrics: two apps count apart", async () => {
  const [one, other] = [testApp(), testApp()];
  await (await one.post("/generate", { inputs: "x" })).text();
  assert.equal(valueOf(await scrape(one), "tgi_request_count"), 1);
  assert.equal(valueOf(await scrape(other), "tgi_request_count"), 0);
});
