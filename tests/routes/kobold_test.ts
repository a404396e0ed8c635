/** KoboldAI's routes, against literals from KoboldCpp's API document and what KoboldAI Lite reads. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError } from "../../model/engine.ts";
import { END_OF_TEXT, FOREVER, ids, jsonPost, testApp, until, withServer } from "./helpers.ts";

/** The body that KoboldAI Lite sends for a story with its own settings. */
const LITE = {
  n: 1,
  max_context_length: 4096,
  max_length: 8,
  rep_pen: 1.07,
  temperature: 0.75,
  top_p: 0.92,
  top_k: 100,
  top_a: 0,
  typical: 1,
  tfs: 1,
  rep_pen_range: 360,
  rep_pen_slope: 0.7,
  sampler_order: [6, 0, 1, 3, 4, 2, 5],
  memory: "",
  trim_stop: true,
  genkey: "KCPP1234",
  min_p: 0,
  dynatemp_range: 0,
  dynatemp_exponent: 1,
  smoothing_factor: 0,
  banned_tokens: [],
  render_special: false,
  logprobs: false,
  presence_penalty: 0,
  logit_bias: {},
  prompt: "Il était une fois",
  quiet: true,
  stop_sequence: ["\nToi :"],
  use_default_badwordsids: false,
  bypass_eos: false,
};

/** The events of a stream as KoboldAI Lite takes them apart, comments in between or not. */
function liteEvents(text: string): { event: string; data: Record<string, unknown> }[] {
  return Array.from(
    text.matchAll(/^event: (.*)\ndata: (.*)\n\n/gm),
    ([, event, data]) => ({ event: event!, data: JSON.parse(data!) }),
  );
}

Deno.test("a request of KoboldAI Lite is answered, whole and streamed", async () => {
  const { post, engine } = testApp({ script: [...ids("un roi"), END_OF_TEXT] });
  const response = await post("/api/v1/generate", LITE);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    results: [{ text: "un roi", finish_reason: "stop", prompt_tokens: 18, completion_tokens: 7 }],
  });
  const { request } = engine.requests[0]!;
  assert.deepEqual(request.prompt, ids("Il était une fois"));
  assert.equal(request.maxNewTokens, 8);
  const { seed, ...sampling } = request.sampling;
  assert.ok(Number.isSafeInteger(seed));
  for (
    const [field, value] of Object.entries({
      temperature: 0.75,
      topK: 100,
      topP: 0.92,
      minP: 0,
      typicalP: 1,
      repetitionPenalty: 1.07,
      presencePenalty: 0,
      frequencyPenalty: 0,
    })
  ) assert.equal(sampling[field as keyof typeof sampling], value, field);

  const stream = await post("/api/extra/generate/stream", LITE);
  assert.equal(stream.headers.get("content-type"), "text/event-stream");
  assert.equal(stream.headers.get("x-accel-buffering"), "no");
  const text = await stream.text();
  assert.match(text, /^event: message\ndata: \{"token":"u","finish_reason":null\}\n\n/);
  const events = liteEvents(text);
  assert.ok(events.every(({ event }) => event === "message"));
  assert.equal(events.map(({ data }) => data.token).join(""), "un roi");
  assert.deepEqual(events.at(-1)!.data, { token: "", finish_reason: "stop" });
  assert.deepEqual(events.slice(0, -1).map(({ data }) => data.finish_reason), Array(6).fill(null));
});

Deno.test("three defaults of KoboldCpp, and a length that ends an answer", async () => {
  const { post, engine } = testApp({ script: ids("a") });
  const body = await (await post("/api/v1/generate", { prompt: "x" })).json();
  assert.equal(body.results[0].text, "a".repeat(180));
  assert.equal(body.results[0].finish_reason, "length");
  const { temperature, topK, topP, repetitionPenalty } = engine.requests[0]!.request.sampling;
  assert.deepEqual([temperature, topK, topP, repetitionPenalty], [0.7, 100, 0.92, 1]);
});

Deno.test("a stop sequence is trimmed unless told otherwise, and never begun in a stream", async () => {
  const script = ids("oui\nToi : non");
  const stop_sequence = ["\nToi :", "zzz"];
  for (const [trim_stop, text] of [[undefined, "oui"], [true, "oui"], [false, "oui\nToi :"]]) {
    const body = { prompt: "x", max_length: 40, stop_sequence, trim_stop };
    const { post } = testApp({ script });
    const { results: [result] } = await (await post("/api/v1/generate", body)).json();
    assert.deepEqual([result.text, result.finish_reason], [text, "stop"]);
    const stream = await (await post("/api/extra/generate/stream", body)).text();
    assert.equal(liteEvents(stream).map(({ data }) => data.token).join(""), text);
  }
});

Deno.test("prompt and answer fit max_context_length: the prompt loses its beginning", async () => {
  const prompt = "0123456789";
  const cases: [body: object, ids: string, maxNewTokens: number][] = [
    [{ max_context_length: 8, max_length: 3 }, "56789", 3],
    [{ max_context_length: 8, max_length: 3, memory: "mem" }, "mem89", 3],
    [{ max_context_length: 8, max_length: 3, memory: "memory" }, "memo9", 3],
    [{ max_context_length: 8, max_length: 100 }, "9", 7],
    [{ max_context_length: 2, max_length: 100 }, "9", 1],
    [{ max_context_length: 100, max_length: 3 }, "0123456789", 3],
    [{ max_context_length: 1e6, max_length: 15 }, "56789", 15],
  ];
  for (const [body, kept, maxNewTokens] of cases) {
    const { post, engine } = testApp({ info: { maxPositions: 20 } });
    assert.equal((await post("/api/v1/generate", { prompt, ...body })).status, 200);
    const { request } = engine.requests[0]!;
    assert.deepEqual([request.prompt, request.maxNewTokens], [ids(kept), maxNewTokens]);
  }
});

Deno.test("n answers with seeds of their own; a given seed is the first one's", async () => {
  const { post, engine } = testApp();
  const body = { prompt: "x", n: 3, max_length: 2, sampler_seed: 77 };
  const { results } = await (await post("/api/v1/generate", body)).json();
  assert.deepEqual(results.map(({ text }: { text: string }) => text), ["Bo", "Bo", "Bo"]);
  const seeds = engine.requests.map(({ request }) => request.sampling.seed);
  assert.equal(seeds[0], 77);
  assert.equal(new Set(seeds).size, 3);
  const refused = await post("/api/extra/generate/stream", body);
  assert.deepEqual([refused.status, await refused.json()], [422, {
    detail: { n: ["Must be 1 when streaming."] },
  }]);
});

Deno.test("bypass_eos goes on after the end of text; it can be made impossible, as can others", async () => {
  const { post, engine } = testApp({ script: [...ids("a"), END_OF_TEXT, ...ids("b")] });
  const body = { prompt: "x", max_length: 3, bypass_eos: true };
  assert.equal((await (await post("/api/v1/generate", body)).json()).results[0].text, "ab");
  const bias = { logit_bias: { 40: -3.5, 11: 5 }, use_default_badwordsids: true };
  await post("/api/v1/generate", { ...body, ...bias });
  assert.deepEqual(
    engine.requests.map(({ request }) => request.sampling.logitBias),
    [[], [[11, -100], [40, -3.5]]],
  );
});

Deno.test("abort by key ends that answer with what there is, and no other", async () => {
  const { app, engine, post } = testApp({ delay: 2 });
  const long = { prompt: "x", max_length: 2000 };
  await withServer(app, async (url) => {
    const stream = fetch(`${url}/api/extra/generate/stream`, jsonPost({ ...long, genkey: "A" }));
    const whole = fetch(`${url}/api/v1/generate`, jsonPost({ ...long, genkey: "B", n: 5 }));
    const other = fetch(`${url}/api/v1/generate`, jsonPost({ ...long, max_length: 60 }));
    await until(() => engine.running === 3 && engine.requests.every(({ tokens }) => tokens > 3));

    const check = await (await post("/api/extra/generate/check", { genkey: "A" })).json();
    assert.match(check.results[0].text, /^Bonj/);
    const unkeyed = await (await app.request("/api/extra/generate/check")).json();
    assert.match(unkeyed.results[0].text, /^Bonj/);

    for (const [genkey, success] of [["C", false], ["A", true], ["B", true]] as const) {
      assert.deepEqual(await (await post("/api/extra/abort", { genkey })).json(), { success });
    }
    const events = liteEvents(await (await stream).text());
    assert.deepEqual(events.at(-1), {
      event: "message",
      data: { token: "", finish_reason: "stop" },
    });
    const { results } = await (await whole).json();
    assert.equal(results.length, 1);
    assert.match(results[0].text, /^Bonj/);
    assert.equal(results[0].finish_reason, "stop");
    assert.equal((await (await other).json()).results[0].completion_tokens, 60);
    assert.equal(engine.cancellations, 2);
    assert.deepEqual(await (await post("/api/extra/abort", { genkey: "A" })).json(), {
      success: false,
    });
  });
});

Deno.test("abort and check take requests without a body, and then mean answers without a key", async () => {
  const { app, engine } = testApp({ delay: FOREVER });
  await withServer(app, async (url) => {
    const answer = fetch(`${url}/api/v1/generate`, jsonPost({ prompt: "x" }));
    await until(() => engine.running === 1);
    const check = await fetch(`${url}/api/extra/generate/check`, { method: "POST" });
    assert.deepEqual(await check.json(), { results: [{ text: "" }] });
    const abort = await fetch(`${url}/api/extra/abort`, { method: "POST" });
    assert.deepEqual(await abort.json(), { success: true });
    assert.equal((await (await answer).json()).results[0].text, "");
  });
});

Deno.test("a client that leaves ends its own generation", async () => {
  const { app, engine, log } = testApp({ delay: 2 });
  await withServer(app, async (url) => {
    for (const path of ["/api/v1/generate", "/api/extra/generate/stream"]) {
      const leave = new AbortController();
      const before = engine.cancellations;
      const answer = fetch(url + path, jsonPost({ prompt: "x", max_length: 2000 }, leave.signal));
      await until(() => engine.running === 1);
      leave.abort();
      await answer.then((response) => response.text()).catch(() => {});
      await until(() => engine.cancellations === before + 1);
    }
    await until(() => log.length === 2);
    assert.deepEqual(log.map(({ error }) => error), ["cancelled", "cancelled"]);
  });
});

Deno.test("what a client asks when it connects", async () => {
  const { app, post } = testApp({ info: { model: "claire", maxPositions: 2048 } });
  const get = async (path: string) => await (await app.request(path)).json();
  assert.deepEqual(await get("/api/v1/info/version"), { result: "1.2.5" });
  assert.deepEqual(await get("/api/v1/model"), { result: "claire" });
  assert.deepEqual(await get("/api/v1/config/max_context_length"), { value: 2048 });
  assert.deepEqual(await get("/api/extra/true_max_context_length"), { value: 2048 });
  assert.deepEqual(await get("/api/v1/config/max_length"), { value: 180 });
  const version = await get("/api/extra/version");
  assert.equal(version.result, "KoboldCpp");
  assert.equal(version.protected, false);
  // KoboldAI Lite streams from 1.40 on.
  const [major, minor] = version.version.split(".").map(Number);
  assert.ok(major === 1 && minor >= 40, version.version);

  const count = await post("/api/extra/tokencount", { prompt: "Né" });
  assert.deepEqual(await count.json(), { value: 3, ids: [90, 207, 181] });
  const text = await post("/api/extra/detokenize", { ids: [90, 207, 181] });
  assert.deepEqual(await text.json(), { result: "Né", success: true });

  const before = await get("/api/extra/perf");
  assert.deepEqual([before.total_gens, before.stop_reason, before.idle], [0, -1, 1]);
  const body = { prompt: "Né", max_length: 5, sampler_seed: 9 };
  await post("/api/v1/generate", body);
  const after = await get("/api/extra/perf");
  assert.deepEqual(
    [after.total_gens, after.last_token_count, after.last_input_count, after.last_seed],
    [1, 5, 3, 9],
  );
  assert.deepEqual([after.stop_reason, after.queue, after.idle, after.quiet], [0, 0, 1, true]);
});

Deno.test("refusals in KoboldAI's shape and words", async () => {
  const { app, post, engine } = testApp();
  const cases: [body: unknown, detail: object][] = [
    [{}, { prompt: ["Missing data for required field."] }],
    [{ prompt: null }, { prompt: ["Not a valid string."] }],
    [{ prompt: "" }, { prompt: ["Shorter than one token."] }],
    [[], { _schema: ["Invalid input type."] }],
    ["x", { _schema: ["Invalid input type."] }],
    [{ prompt: "x", top_p: 1.5 }, {
      top_p: ["Must be greater than or equal to 0 and less than or equal to 1."],
    }],
    [{ prompt: "x", max_length: 1.5 }, { max_length: ["Not a valid integer."] }],
    [{ prompt: "x", max_length: "many" }, { max_length: ["Not a valid integer."] }],
    [{ prompt: "x", max_context_length: 1 }, { max_context_length: ["Must be at least 2."] }],
    [{ prompt: "x", stop_sequence: ["a", 1] }, { stop_sequence: ["Not a valid string."] }],
    [{ prompt: "x", tfs: 0.9 }, { tfs: ["Only 1 is supported."] }],
    [{ prompt: "x", grammar: "root ::= x" }, { grammar: ['Only "" is supported.'] }],
    [{ prompt: "x", banned_tokens: ["a"] }, {
      banned_tokens: ["Only an empty list is supported."],
    }],
    [{ prompt: "x", logit_bias: { 268: 1 } }, {
      logit_bias: ["Keys must be token ids below 268."],
    }],
    [{ prompt: "x", logit_bias: { a: 1 } }, { logit_bias: ["Keys must be token ids below 268."] }],
    [{ prompt: "x", logit_bias: { 1: 101 } }, {
      logit_bias: ["Must be greater than or equal to -100 and less than or equal to 100."],
    }],
  ];
  for (const path of ["/api/v1/generate", "/api/extra/generate/stream"]) {
    for (const [body, detail] of cases) {
      const response = await post(path, body);
      assert.deepEqual([response.status, await response.json()], [422, { detail }]);
    }
    const malformed = await app.request(path, { ...jsonPost({}), body: "{" });
    assert.deepEqual([malformed.status, await malformed.json()], [400, {
      detail: { msg: "Failed to parse the request body as JSON", type: "syntax" },
    }]);
    engine.capacity = 0;
    const busy = await post(path, { prompt: "x" });
    assert.equal(busy.headers.get("retry-after"), "1");
    assert.deepEqual([busy.status, await busy.json()], [503, {
      detail: { msg: "Server is busy; please try again later.", type: "service_unavailable" },
    }]);
    engine.capacity = Infinity;
  }
});

Deno.test("a failure in the middle of a stream is an event with another name", async () => {
  const { post } = testApp({ failAfter: 3, error: new EngineError("failed", "vk: -4") });
  const text = await (await post("/api/extra/generate/stream", { prompt: "x" })).text();
  const events = liteEvents(text);
  assert.equal(events.filter(({ event }) => event === "message").length, 3);
  assert.deepEqual(events.at(-1), {
    event: "error",
    data: {
      detail: {
        msg: "Request failed during generation: the GPU reported an error",
        type: "generation",
      },
    },
  });
});

Deno.test("no prompt, however it is cut, makes the engine refuse what was accepted", async () => {
  const { post, engine } = testApp({ info: { maxPositions: 30 } });
  const fields = ["max_length", "max_context_length", "temperature", "top_k", "top_p", "min_p"];
  fields.push("typical", "rep_pen", "presence_penalty", "sampler_seed", "n");
  // Few fields at a time, so that many requests are accepted and many are not.
  const numbers = fc.dictionary(
    fc.constantFrom(...fields),
    fc.constantFrom(0, 0.5, 1, 2, 5, 30, -1, 1e9),
    { maxKeys: 3 },
  );
  const request = fc.tuple(
    fc.record({
      prompt: fc.string({ unit: "binary", maxLength: 40 }),
      memory: fc.string({ unit: "binary", maxLength: 40 }),
      stop_sequence: fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 }),
    }, { requiredKeys: ["prompt"] }),
    numbers,
  ).map(([texts, numbers]) => ({ ...texts, ...numbers }));
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(request, async (body) => {
      const response = await post("/api/v1/generate", body);
      statuses.add(response.status);
      const answer = await response.json();
      if (response.status === 422) {
        const messages = Object.values(answer.detail) as string[][];
        return assert.ok(messages.length === 1 && messages[0]!.length === 1);
      }
      assert.equal(response.status, 200);
      const { prompt, maxNewTokens, sampling } = engine.requests.at(-1)!.request;
      assert.ok(prompt.length > 0 && prompt.length + maxNewTokens <= 30);
      assert.ok(sampling.topP > 0 && sampling.typicalP > 0 && sampling.seed >= 0);
    }),
    { numRuns: 500 },
  );
  assert.deepEqual([...statuses].sort(), [200, 422]);
});
