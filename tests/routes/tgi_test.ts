/** TGI v3.3.7's answers, field by field, against literals written from its sources. */
import assert from "node:assert/strict";
import { EngineError } from "../../model/engine.ts";
import { END_OF_TEXT, FOREVER, ids, readEvents, testApp, until } from "./helpers.ts";

/** "Hi" and the end of text, with probabilities that are easy to recognise. */
const SCRIPT = [
  { id: 84, logprob: -9, processedLogprob: -0.25 },
  { id: 117, logprob: -9, processedLogprob: -0.5 },
  { id: END_OF_TEXT, logprob: -9, processedLogprob: -0.125 },
];
const TOKENS = [
  { id: 84, text: "H", logprob: -0.25, special: false },
  { id: 117, text: "i", logprob: -0.5, special: false },
  { id: 11, text: "<|endoftext|>", logprob: -0.125, special: true },
];

Deno.test("POST /generate gives the new text only, and no details unless asked", async () => {
  const { post } = testApp({ script: SCRIPT });
  const response = await post("/generate", { inputs: "Salut", parameters: {} });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.equal(await response.text(), '{"generated_text":"Hi"}');
});

Deno.test("POST / gives a list, with the prompt in front unless told otherwise", async () => {
  const { post } = testApp({ script: SCRIPT });
  const text = async (parameters: unknown) =>
    await (await post("/", { inputs: "Salut", parameters })).text();
  assert.equal(await text(undefined), '[{"generated_text":"SalutHi"}]');
  assert.equal(await text({ return_full_text: false }), '[{"generated_text":"Hi"}]');
});

Deno.test("details hold every token, its processed logprob, and the prompt's", async () => {
  const { post } = testApp({ script: SCRIPT });
  const response = await post("/generate", {
    inputs: "Né",
    parameters: { decoder_input_details: true, return_full_text: true },
  });
  assert.deepEqual(await response.json(), {
    generated_text: "NéHi",
    details: {
      finish_reason: "eos_token",
      generated_tokens: 3,
      seed: null,
      prefill: [
        { id: 90, text: "N", logprob: null },
        { id: 207, text: "\ufffd", logprob: -0.25 },
        { id: 181, text: "\ufffd", logprob: -0.5 },
      ],
      tokens: TOKENS,
    },
  });
});

Deno.test("top_n_tokens adds the likeliest tokens after processing", async () => {
  const processedTop = [{ id: 84, logprob: -0.25 }, { id: 11, logprob: -3 }];
  const { post } = testApp({ script: [{ ...SCRIPT[0]!, processedTop }] });
  const parameters = { details: true, top_n_tokens: 2, max_new_tokens: 1, seed: 5, top_k: 3 };
  const { details } = await (await post("/generate", { inputs: "a", parameters })).json();
  assert.deepEqual(details, {
    finish_reason: "length",
    generated_tokens: 1,
    seed: 5,
    prefill: [],
    tokens: [TOKENS[0]],
    top_tokens: [[
      { id: 84, text: "H", logprob: -0.25, special: false },
      { id: 11, text: "<|endoftext|>", logprob: -3, special: true },
    ]],
  });
});

Deno.test("best_of answers with the likeliest sequence and lists the other one", async () => {
  // Each call of the engine plays the next line; the second is the likelier one a token.
  const lines = [[{ id: 109, logprob: -2 }], [{ id: 110, logprob: -1 }]];
  let call = -1;
  const { post, engine } = testApp({
    script: (_, index) => {
      if (index === 0) call++;
      return lines[call]![0]!;
    },
  });
  const parameters = { best_of: 2, do_sample: true, max_new_tokens: 2, details: true };
  const response = await post("/", { inputs: ">", parameters });
  const [{ generated_text, details }] = await response.json();
  const [first, second] = engine.requests.map(({ request }) => request.sampling.seed);
  assert.notEqual(first, second);
  assert.equal(generated_text, ">bb");
  const b = { id: 110, text: "b", logprob: -1, special: false };
  const a = { id: 109, text: "a", logprob: -2, special: false };
  assert.deepEqual(details, {
    finish_reason: "length",
    generated_tokens: 2,
    seed: second,
    prefill: [],
    tokens: [b, b],
    best_of_sequences: [{
      generated_text: ">aa",
      finish_reason: "length",
      generated_tokens: 2,
      seed: first,
      prefill: [],
      tokens: [a, a],
    }],
  });
});

Deno.test("a stop string stays at the end of the text", async () => {
  const { post } = testApp({ script: ids("un, deux, trois") });
  const parameters = { stop: ["deux"], details: true };
  const body = await (await post("/generate", { inputs: "a", parameters })).json();
  assert.equal(body.generated_text, "un, deux");
  assert.equal(body.details.finish_reason, "stop_sequence");
  assert.equal(body.details.generated_tokens, 8);
});

Deno.test("x- headers of a complete answer", async () => {
  const { post } = testApp({ script: SCRIPT, info: { software: false } });
  const { headers } = await post("/generate", { inputs: "é 🙂", parameters: {} });
  assert.equal(headers.get("x-compute-type"), "gpu+optimized");
  assert.equal(headers.get("x-compute-characters"), "3");
  assert.equal(headers.get("x-prompt-tokens"), "7");
  assert.equal(headers.get("x-generated-tokens"), "3");
  assert.match(headers.get("x-compute-time")!, /^\d+\.\d+(e-\d+)?$/);
  for (const part of ["total-time", "validation-time", "queue-time", "inference-time"]) {
    assert.match(headers.get(`x-${part}`)!, /^\d+$/, part);
  }
  assert.match(headers.get("x-time-per-token")!, /^\d+$/);
});

Deno.test("a stream is one unnamed event a token, without [DONE]", async () => {
  const { post } = testApp({ script: SCRIPT });
  const response = await post("/generate_stream", {
    inputs: "Salut",
    parameters: { details: true },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  assert.equal(response.headers.get("cache-control"), "no-cache");
  assert.equal(response.headers.get("x-compute-type"), "cpu");
  assert.equal(response.headers.get("x-compute-characters"), "5");
  const data = [
    '{"index":1,"token":{"id":84,"text":"H","logprob":-0.25,"special":false},' +
    '"generated_text":null,"details":null}',
    '{"index":2,"token":{"id":117,"text":"i","logprob":-0.5,"special":false},' +
    '"generated_text":null,"details":null}',
    '{"index":3,"token":{"id":11,"text":"<|endoftext|>","logprob":-0.125,"special":true},' +
    '"generated_text":"Hi","details":{"finish_reason":"eos_token","generated_tokens":3,' +
    '"seed":null,"input_length":5}}',
  ];
  assert.equal(await response.text(), data.map((line) => `data: ${line}\n\n`).join(""));
});

Deno.test("a stream shows top tokens where they were asked for", async () => {
  const { post } = testApp({ script: SCRIPT });
  const parameters = { top_n_tokens: 1, max_new_tokens: 1 };
  const [event] = await readEvents(
    await post("/", { inputs: "a", stream: true, parameters }),
  );
  assert.deepEqual(event, {
    index: 1,
    token: TOKENS[0],
    top_tokens: [TOKENS[0]],
    generated_text: "aH",
    details: null,
  });
});

Deno.test("a stream says the same as the whole answer", async () => {
  const parameterSets = [
    {},
    { max_new_tokens: 3 },
    { max_new_tokens: 5, top_n_tokens: 3 },
    { stop: ["è!", "s\n"] },
    { stop: ["", "x", "re"], return_full_text: true },
    { do_sample: true, seed: 3, max_new_tokens: 12 },
  ];
  const script = [...ids("Très bien, 🙂è!\nre"), END_OF_TEXT];
  for (const parameters of parameterSets) {
    const body = { inputs: "Ça va ?", parameters: { ...parameters, details: true } };
    const whole = await (await testApp({ script }).post("/generate", body)).json();
    const events = await readEvents(await testApp({ script }).post("/generate_stream", body));
    const last = events.at(-1)!;
    assert.equal(last.generated_text, whole.generated_text);
    assert.deepEqual(events.map((event) => event.token), whole.details.tokens);
    assert.deepEqual(
      events.map((event) => event.index),
      whole.details.tokens.map((_: unknown, i: number) => i + 1),
    );
    assert.ok(events.slice(0, -1).every((event) => event.generated_text === null));
    const { finish_reason, generated_tokens, seed } = whole.details;
    assert.deepEqual(last.details, {
      finish_reason,
      generated_tokens,
      seed,
      input_length: ids("Ça va ?").length,
    });
    const texts = events.filter((event) => !event.token.special).map((event) => event.token.text);
    const prefix = "return_full_text" in parameters ? "Ça va ?" : "";
    assert.equal(prefix + texts.join(""), whole.generated_text);
  }
});

Deno.test("a token that sampling ruled out has null, for JSON has no infinity", async () => {
  const { post } = testApp({ script: [{ id: 84, processedLogprob: -Infinity }] });
  const parameters = { max_new_tokens: 1, details: true };
  const { details } = await (await post("/generate", { inputs: "a", parameters })).json();
  assert.equal(details.tokens[0].logprob, null);
});

Deno.test("what the engine refuses or breaks off gets its status, in fixed words", async () => {
  const cases = [
    ["busy", 429, "Model is overloaded", "overloaded"],
    ["loading", 503, "The model is loading", "loading"],
    ["draining", 503, "The server is shutting down", "draining"],
    ["invalid", 422, "Input validation error: of the engine", "validation"],
    ["lost", 424, "Request failed during generation: the engine stopped", "generation"],
    ["failed", 424, "Request failed during generation: the GPU reported an error", "generation"],
  ] as const;
  for (const [code, status, error, error_type] of cases) {
    const { post } = testApp({ failAfter: 0, error: new EngineError(code, "of the engine") });
    for (const path of ["/generate", "/generate_stream", "/"]) {
      const response = await post(path, { inputs: "a", stream: true });
      assert.equal(response.status, status);
      assert.deepEqual(await response.json(), { error, error_type });
      assert.equal(response.headers.has("retry-after"), status === 429 || status === 503);
    }
  }
});

Deno.test("an error in the middle of an answer is an event of its stream, with HTTP 200", async () => {
  const { post, log } = testApp({
    script: SCRIPT,
    failAfter: 2,
    error: new EngineError("failed", "device 0x1234 said no"),
  });
  const response = await post("/generate_stream", { inputs: "secret", parameters: {} });
  assert.equal(response.status, 200);
  const events = await readEvents(response);
  assert.deepEqual(events.map((event) => event.token?.text), ["H", "i", undefined]);
  assert.deepEqual(events[2], {
    error: "Request failed during generation: the GPU reported an error",
    error_type: "generation",
  });
  assert.equal(log[0]!.error, "generation");

  const whole = await post("/generate", { inputs: "secret", parameters: {} });
  assert.equal(whole.status, 424);
});

Deno.test("what nobody foresaw is a bare 500; its cause is for the log only", async () => {
  const { post, log } = testApp({
    script: () => {
      throw new TypeError("x is not a function");
    },
  });
  const response = await post("/generate", { inputs: "a" });
  assert.equal(response.status, 500);
  assert.equal(await response.text(), '{"error":"Internal server error","error_type":"internal"}');
  assert.equal(log[0]!.fault, "TypeError: x is not a function");
});

Deno.test("a full engine is 429 on every route, and serves again once it is free", async () => {
  const { post, engine } = testApp({ capacity: 1, delay: 5 });
  const parameters = { max_new_tokens: 5 };
  const running = post("/generate", { inputs: "a", parameters });
  while (engine.running === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const path of ["/generate", "/generate_stream", "/"]) {
    const response = await post(path, { inputs: "a", parameters, stream: path === "/" });
    assert.equal(response.status, 429);
    assert.equal(response.headers.get("retry-after"), "1");
    assert.deepEqual(await response.json(), {
      error: "Model is overloaded",
      error_type: "overloaded",
    });
  }
  assert.equal((await running).status, 200);
  assert.equal((await post("/generate", { inputs: "a", parameters })).status, 200);
});

Deno.test("a long silence opens the stream and is filled with comments", async () => {
  const { post, engine } = testApp({ delay: FOREVER }, { keepAlive: 10 });
  const response = await post("/generate_stream", { inputs: "a", parameters: {} });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await reader.read()).value, ":\n\n");
  assert.equal((await reader.read()).value, ":\n\n");
  await reader.cancel();
  await until(() => engine.cancellations === 1);
});

Deno.test("a refusal that comes late is an event", async () => {
  const error = new EngineError("busy", "");
  const { post } = testApp({ delay: 60, failAfter: 0, error }, { keepAlive: 10 });
  const response = await post("/generate_stream", { inputs: "a" });
  assert.equal(response.status, 200);
  assert.deepEqual(await readEvents(response), [{
    error: "Model is overloaded",
    error_type: "overloaded",
  }]);
});
