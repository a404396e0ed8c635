/** How much of a prompt was computed before, as answers tell it, and who may share it with whom. */
import assert from "node:assert/strict";
import type { GenerateRequest } from "../../model/engine.ts";
import { ids, jsonPost, readStream, testApp } from "./helpers.ts";

/** The first answer to a prompt finds nothing, those after it 32 tokens more each than the one before. */
function sharing() {
  const seen = new Map<string, number>();
  return (request: GenerateRequest, index: number) => {
    const key = request.prompt.join();
    if (index === 0) seen.set(key, (seen.get(key) ?? -1) + 1);
    return { id: ids("a")[0]!, cachedTokens: 32 * seen.get(key)! };
  };
}

async function cachedBy(path: string, body: object): Promise<number[]> {
  const { post } = testApp({ script: sharing() });
  const found: number[] = [];
  for (let turn = 0; turn < 2; turn++) {
    const response = await post(path, body);
    assert.equal(response.status, 200);
    const { usage } = await response.json();
    found.push(usage.prompt_tokens_details.cached_tokens);
  }
  return found;
}

const DIALOGUE = { turns: [{ speaker: "A", text: "Bonjour." }], next: "B", max_tokens: 4 };
const CHAT = { messages: [{ role: "user", content: "Bonjour" }], max_tokens: 2 };

Deno.test("usage says how much of the prompt was there already", async () => {
  assert.deepEqual(await cachedBy("/v1/chat/completions", CHAT), [0, 32]);
  assert.deepEqual(await cachedBy("/v1/completions", { prompt: "abc", max_tokens: 2 }), [0, 32]);
  assert.deepEqual(await cachedBy("/v1/dialogues", DIALOGUE), [0, 32]);
});

Deno.test("of several answers the one counts that found most, and prompts add up", async () => {
  const body = { prompt: "abc", max_tokens: 2, n: 3 };
  assert.deepEqual(await cachedBy("/v1/completions", body), [64, 160]);
  const two = { prompt: ["abc", "xyz"], max_tokens: 2, n: 2 };
  assert.deepEqual(await cachedBy("/v1/completions", two), [64, 192]);
});

Deno.test("streams say it in their last chunk", async () => {
  const { post } = testApp({ script: [{ id: ids("a")[0]!, cachedTokens: 96 }] });
  const body = { ...CHAT, stream: true, stream_options: { include_usage: true } };
  const { chunks } = await readStream(await post("/v1/chat/completions", body));
  assert.equal(chunks.at(-1).usage.prompt_tokens_details.cached_tokens, 96);
  const events = await (await post("/v1/dialogues", { ...DIALOGUE, stream: true })).text();
  assert.match(events, /event: done\n.*"prompt_tokens_details":\{"cached_tokens":96\}/);
});

const GENERATING: Record<string, object> = {
  "/generate": { inputs: "a" },
  "/generate_stream": { inputs: "a" },
  "/": { inputs: "a" },
  "/invocations": { inputs: "a" },
  "/v1/completions": { prompt: "a" },
  "/v1/chat/completions": { ...CHAT, stream: true },
  "/v1/dialogues": DIALOGUE,
  "/api/v1/generate": { prompt: "a" },
  "/api/extra/generate/stream": { prompt: "a" },
};

Deno.test("each key has a scope of its own on every route, which does not tell the key", async () => {
  const keys = ["first-key", "second-key"];
  for (const [path, body] of Object.entries(GENERATING)) {
    const { app, engine } = testApp({}, {}, { keys });
    for (const key of [...keys, ...keys]) {
      const init = jsonPost(body);
      const headers = { ...init.headers, authorization: `Bearer ${key}` };
      const response = await app.request(path, { ...init, headers });
      assert.equal(response.status, 200, path);
      await response.text();
    }
    const scopes = engine.requests.map(({ request }) => request.cacheScope);
    assert.equal(new Set(scopes).size, 2, path);
    assert.deepEqual(scopes.slice(0, 2), scopes.slice(2));
    for (const scope of scopes) assert.match(scope!, /^key \d+$/);
  }
});

Deno.test("without keys there is one scope for all", async () => {
  const { post, engine } = testApp();
  for (const [path, body] of Object.entries(GENERATING)) await (await post(path, body)).text();
  assert.equal(engine.requests.length, Object.keys(GENERATING).length);
  for (const { request } of engine.requests) assert.equal(request.cacheScope, undefined);
});
