/**
 * What routers for language models read of a server, against a live one. The names and shapes are
 * theirs, by their sources of August 2026; the routers themselves are not run.
 */
import assert from "node:assert/strict";
import { ids, jsonPost, testApp, withServer } from "../routes/helpers.ts";
import { type Exposition, readExposition } from "../routes/metrics/exposition.ts";

/** vLLM's production-stack router looks for these samples, each on its own, by these very names. */
const PRODUCTION_STACK = [
  "vllm:num_requests_running",
  "vllm:num_requests_waiting",
  "vllm:gpu_cache_usage_perc",
  "vllm:gpu_prefix_cache_hit_rate",
  "vllm:gpu_prefix_cache_hits_total",
  "vllm:gpu_prefix_cache_queries_total",
];

/** llm-d's picker, for pods that run "vllm"; the last one has labels that it reads. */
const LLM_D = [
  "vllm:num_requests_waiting",
  "vllm:num_requests_running",
  "vllm:kv_cache_usage_perc",
  "vllm:cache_config_info",
];

/** A server that has answered once through OpenAI's routes, as a router's clients ask. */
async function live(body: (url: string, scrape: Exposition) => Promise<void> | void) {
  await withServer(testApp({ script: ids("Bonjour !\n") }).app, async (url) => {
    const request = { prompt: "- Salut.\n-", max_tokens: 4 };
    const answer = await fetch(`${url}/v1/completions`, jsonPost(request));
    assert.equal(answer.status, 200, await answer.text());
    await body(url, readExposition(await (await fetch(`${url}/metrics`)).text()));
  });
}

for (
  const [router, names] of Object.entries({ "production-stack": PRODUCTION_STACK, "llm-d": LLM_D })
) {
  Deno.test(`routers: ${router} finds each metric once, a number of the range that it expects`, () =>
    live((_, { samples }) => {
      for (const name of names) {
        const found = samples.filter((sample) => sample.name === name);
        assert.equal(found.length, 1, name);
        const { value } = found[0]!;
        assert.ok(Number.isFinite(value) && value >= 0, `${name} ${value}`);
        // "perc" or not, vLLM's shares go from 0 to 1.
        if (/_perc$|_rate$/.test(name)) assert.ok(value <= 1, `${name} ${value}`);
      }
    }));
}

Deno.test("routers: llm-d reads how many blocks there are from labels", () =>
  live((_, { samples }) => {
    const { labels } = samples.find(({ name }) => name === "vllm:cache_config_info")!;
    assert.match(labels.block_size!, /^[1-9]\d*$/);
    assert.match(labels.num_gpu_blocks!, /^[1-9]\d*$/);
  }));

Deno.test("routers: /v1/models has the one model, by the name that requests and metrics use", () =>
  live(async (url, { samples }) => {
    const answer = await fetch(`${url}/v1/models`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type")!, /^application\/json/);
    const { object, data: [model, ...others] } = await answer.json();
    assert.equal(object, "list");
    assert.deepEqual(others, []);
    assert.equal(model.object, "model");
    assert.ok(Number.isSafeInteger(model.created));
    assert.equal(typeof model.owned_by, "string");
    for (const sample of samples.filter(({ name }) => name.startsWith("vllm:"))) {
      assert.equal(sample.labels.model_name, model.id);
    }
    const request = { model: model.id, messages: [{ role: "user", content: "Salut." }] };
    const chat = await fetch(`${url}/v1/chat/completions`, jsonPost(request));
    assert.equal(chat.status, 200, await chat.text());
  }));

Deno.test("routers: where keys are needed, /metrics and /health are open, /v1/models takes a bearer", async () => {
  const { app } = testApp({}, {}, { keys: ["k"] });
  for (const path of ["/metrics", "/health"]) assert.equal((await app.request(path)).status, 200);
  assert.equal((await app.request("/v1/models")).status, 401);
  const headers = { authorization: "Bearer k" };
  assert.equal((await app.request("/v1/models", { headers })).status, 200);
});

Deno.test("routers: a server that loads is not ready, and names no model yet", async () => {
  const { app } = testApp({ state: "loading" });
  assert.equal((await app.request("/health")).status, 503);
  const { samples } = readExposition(await (await app.request("/metrics")).text());
  assert.ok(!samples.some(({ name }) => name.startsWith("vllm:")));
});

Deno.test("routers: what no server of ours has is 404 as JSON: production-stack asks /is_sleeping", async () => {
  const answer = await testApp().app.request("/is_sleeping");
  assert.equal(answer.status, 404);
  assert.equal(typeof await answer.json(), "object");
});
