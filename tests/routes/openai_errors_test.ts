/** What OpenAI's routes refuse, and how: its error shape and words, never a 5xx for a body. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError } from "../../model/engine.ts";
import { ids, readStream, testApp, withServer } from "./helpers.ts";
import { head, raw } from "./raw.ts";

const COMPLETIONS = "/v1/completions";
const CHAT = "/v1/chat/completions";
const HELLO = [{ role: "user", content: "Bonjour" }];

type Case = [body: object, message: string, param: string | null, code: string | null];

const BOTH: Case[] = [
  [
    { temperature: 2.1 },
    "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.1 instead.",
    "temperature",
    "decimal_above_max_value",
  ],
  [
    { top_p: -1 },
    "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    "top_p",
    "decimal_below_min_value",
  ],
  [
    { temperature: "hot" },
    "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    "temperature",
    "invalid_type",
  ],
  [
    { n: 0 },
    "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    "n",
    "integer_below_min_value",
  ],
  [
    { n: 129 },
    "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 129 instead.",
    "n",
    "integer_above_max_value",
  ],
  [
    { n: 1.5 },
    "Invalid type for 'n': expected an integer, but got a decimal instead.",
    "n",
    "invalid_type",
  ],
  [
    { stop: ["a", "b", "c", "d", "e"] },
    "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array " +
    "with length 5 instead.",
    "stop",
    "array_above_max_length",
  ],
  [
    { stop: 5 },
    "Invalid type for 'stop': expected one of a string or an array of strings, but got an integer " +
    "instead.",
    "stop",
    "invalid_type",
  ],
  [
    { logit_bias: { 7: 101 } },
    "Invalid 'logit_bias.7': decimal above maximum value. Expected a value <= 100, but got 101 " +
    "instead.",
    "logit_bias.7",
    "decimal_above_max_value",
  ],
  [
    { logit_bias: { 268: 1 } },
    "Invalid key in 'logit_bias': expected a token id from 0 to 267, but got \"268\" instead.",
    "logit_bias",
    "invalid_value",
  ],
  [
    { logit_bias: { "-1": 1 } },
    "Invalid key in 'logit_bias': expected a token id from 0 to 267, but got \"-1\" instead.",
    "logit_bias",
    "invalid_value",
  ],
  [
    { stream: "yes" },
    "Invalid type for 'stream': expected a boolean, but got a string instead.",
    "stream",
    "invalid_type",
  ],
  [
    { stream_options: { include_usage: true } },
    "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    "stream_options",
    "invalid_parameter_combination",
  ],
  [
    { typical_p: 0 },
    "Invalid 'typical_p': decimal below minimum value. Expected a value > 0, but got 0 instead.",
    "typical_p",
    "decimal_below_min_value",
  ],
];

const COMPLETION_CASES: Case[] = [
  ...BOTH,
  [
    { prompt: undefined },
    "Missing required parameter: 'prompt'.",
    "prompt",
    "missing_required_parameter",
  ],
  [{ prompt: "" }, "Invalid 'prompt': the prompt holds no token.", "prompt", "empty_prompt"],
  [
    { prompt: ["a", 5] },
    "Invalid type for 'prompt': expected one of a string, or a non-empty array of strings, of " +
    "token ids, or of arrays of token ids, but got an array instead.",
    "prompt",
    "invalid_type",
  ],
  [
    { prompt: [5, 268] },
    "Invalid 'prompt': expected token ids from 0 to 267, but got 268 instead.",
    "prompt",
    "invalid_value",
  ],
  [
    { prompt: [[5], [-1]] },
    "Invalid 'prompt': expected token ids from 0 to 267, but got -1 instead.",
    "prompt",
    "invalid_value",
  ],
  [
    { suffix: "fin" },
    "Unsupported parameter: 'suffix' is not supported with this model.",
    "suffix",
    "unsupported_parameter",
  ],
  [
    { logprobs: 6 },
    "Invalid 'logprobs': integer above maximum value. Expected a value <= 5, but got 6 instead.",
    "logprobs",
    "integer_above_max_value",
  ],
  [
    { max_tokens: 0 },
    "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, or 'echo', but got " +
    "0 instead.",
    "max_tokens",
    "integer_below_min_value",
  ],
  [
    { max_tokens: 2048 },
    "This model's maximum context length is 2048 tokens. However, you requested 2049 tokens (1 in " +
    "the prompt, 2048 in the completion). Please reduce the length of the prompt or completion.",
    "prompt",
    "context_length_exceeded",
  ],
  [
    { n: 3, best_of: 2 },
    "You requested that the server return more choices than it will generate (HINT: 'best_of' must " +
    "be greater than or equal to 'n').",
    "best_of",
    "invalid_value",
  ],
  [
    { best_of: 2, stream: true },
    "'best_of' above 'n' cannot be used with 'stream'.",
    "best_of",
    "invalid_parameter_combination",
  ],
  [
    { prompt: ["a", "b", "c"], n: 43 },
    "Too many answers: 3 prompts with 43 answers each were requested, and one request may have 128 " +
    "in all.",
    "n",
    "integer_above_max_value",
  ],
];

const CHAT_CASES: Case[] = [
  ...BOTH,
  [
    { messages: undefined },
    "Missing required parameter: 'messages'.",
    "messages",
    "missing_required_parameter",
  ],
  [
    { messages: [] },
    "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty " +
    "array instead.",
    "messages",
    "empty_array",
  ],
  [
    { messages: [{ content: "a" }] },
    "Missing required parameter: 'messages[0].role'.",
    "messages[0].role",
    "missing_required_parameter",
  ],
  [
    { messages: [{ role: "tool", content: "a" }] },
    "Invalid value for 'messages[0].role'. Supported values are: 'system', 'developer', 'user', " +
    "'assistant'.",
    "messages[0].role",
    "invalid_value",
  ],
  [
    { messages: [{ role: "user", content: 5 }] },
    "Invalid type for 'messages[0].content': expected one of a string or an array of text parts, " +
    "but got an integer instead.",
    "messages[0].content",
    "invalid_type",
  ],
  ...(["tools", "functions", "audio", "response_format", "modalities"] as const).map(
    (name): Case => [
      {
        [name]: {
          tools: [{ type: "function", function: { name: "f" } }],
          functions: [{ name: "f" }],
          audio: { voice: "alloy" },
          response_format: { type: "json_object" },
          modalities: ["text", "audio"],
        }[name],
      },
      `Unsupported parameter: '${name}' is not supported with this model.`,
      name,
      "unsupported_parameter",
    ],
  ),
  [
    { messages: [...HELLO, { role: "assistant", content: null, tool_calls: [{ id: "1" }] }] },
    "Unsupported parameter: 'messages[1].tool_calls' is not supported with this model.",
    "messages[1].tool_calls",
    "unsupported_parameter",
  ],
  [
    { top_logprobs: 2 },
    "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    "top_logprobs",
    "invalid_parameter_combination",
  ],
  [
    { max_tokens: 5, max_completion_tokens: 5 },
    "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
    "max_tokens",
    "invalid_parameter_combination",
  ],
  [
    { max_completion_tokens: 0 },
    "Invalid 'max_completion_tokens': integer below minimum value. Expected a value >= 1, but got 0 " +
    "instead.",
    "max_completion_tokens",
    "integer_below_min_value",
  ],
  [
    { format: "xml" },
    "Invalid value for 'format'. Supported values are: 'monologue', 'dash', 'intervenant', 'named'.",
    "format",
    "invalid_value",
  ],
  [
    { format: "dash", messages: ["A", "B"].map((name) => ({ role: "user", content: "x", name })) },
    "Invalid 'messages': the dash format should have at most 2 speakers, found 3.",
    "messages",
    "invalid_value",
  ],
  [
    { max_tokens: 2048 },
    "This model's maximum context length is 2048 tokens. However, you requested 2089 tokens (41 in " +
    "the messages, 2048 in the completion). Please reduce the length of the messages or completion.",
    "messages",
    "context_length_exceeded",
  ],
];

Deno.test("refusals name the parameter, in OpenAI's words", async () => {
  const routes = [
    [COMPLETIONS, { prompt: "a" }, COMPLETION_CASES],
    [CHAT, { messages: HELLO }, CHAT_CASES],
  ] as const;
  for (const [path, base, cases] of routes) {
    for (const [body, message, param, code] of cases) {
      const { post, engine, log } = testApp();
      const response = await post(path, { ...base, ...body });
      assert.deepEqual(await response.json(), {
        error: { message, type: "invalid_request_error", param, code },
      });
      assert.equal(response.status, 400);
      assert.equal(engine.requests.length, 0);
      assert.equal(log[0]!.error, "validation");
    }
  }
});

Deno.test("options that ask for nothing are no reason to refuse", async () => {
  const body = {
    messages: HELLO,
    tools: [],
    tool_choice: "auto",
    functions: [],
    function_call: "none",
    modalities: ["text"],
    audio: null,
    response_format: { type: "text" },
    parallel_tool_calls: false,
    user: "x",
    store: false,
    metadata: {},
    reasoning_effort: "low",
  };
  assert.equal((await testApp().post(CHAT, body)).status, 200);
});

Deno.test("at most 1024 tokens may be biased", async () => {
  const bias = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [i, 1]));
  const { post } = testApp({ info: { vocabSize: 5000 } });
  const body = (count: number) => ({ prompt: "a", logit_bias: bias(count), max_tokens: 1 });
  assert.equal((await post(COMPLETIONS, body(1024))).status, 200);
  const refused = await post(COMPLETIONS, body(1025));
  assert.equal(refused.status, 400);
  assert.equal((await refused.json()).error.code, "object_above_max_properties");
});

Deno.test("a prompt that would block the server is refused before it is tokenised", async () => {
  const { post } = testApp({}, { inputCharacters: 100 });
  const long = "a".repeat(101);
  for (
    const [path, body] of [
      [COMPLETIONS, { prompt: long }],
      [CHAT, { messages: [{ role: "user", content: long }] }],
    ] as const
  ) {
    const response = await post(path, body);
    assert.equal(response.status, 400);
    const { error } = await response.json();
    assert.equal(error.code, "string_above_max_length");
    assert.ok(!error.message.includes("aaa"));
  }
});

Deno.test("what is wrong before any field: URLs, methods, content types, JSON, sizes", async () => {
  const { app } = testApp();
  const json = { "content-type": "application/json" };
  const cases: [method: string, path: string, RequestInit, status: number, message: RegExp][] = [
    ["POST", "/v1/embeddings", {}, 404, /^Invalid URL \(POST \/v1\/embeddings\)$/],
    ["GET", COMPLETIONS, {}, 405, /^Not allowed to GET on \/v1\/completions\./],
    ["POST", "/v1/models", {}, 405, /^Not allowed to POST on \/v1\/models\./],
    ["GET", "/v1/models/x/y", {}, 404, /^The model 'x\/y' does not exist$/],
    ["POST", CHAT, { headers: json, body: "{" }, 400, /^We could not parse the JSON body/],
    ["POST", CHAT, { headers: json, body: "[]" }, 400, /expected an object, but got an array/],
    ["POST", CHAT, { headers: { "content-type": "text/plain" }, body: "{}" }, 415, /Content-Type/],
    ["POST", CHAT, { headers: json, body: " ".repeat(2_000_001) }, 413, /2000000 bytes/],
  ];
  for (const [method, path, init, status, message] of cases) {
    const response = await app.request(path, { method, ...init });
    const { error } = await response.json();
    assert.equal(response.status, status, error.message);
    assert.match(error.message, message);
    assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
    assert.equal(error.type, "invalid_request_error");
    assert.equal(response.headers.has("allow"), status === 405);
  }
});

Deno.test("what the engine refuses or breaks off has OpenAI's shape and a fitting status", async () => {
  const cases = [
    ["busy", 429, "requests", "rate_limit_exceeded"],
    ["loading", 503, "server_error", null],
    ["draining", 503, "server_error", null],
    ["invalid", 400, "invalid_request_error", null],
    ["lost", 500, "server_error", null],
    ["failed", 500, "server_error", null],
  ] as const;
  for (const [code, status, type, errorCode] of cases) {
    const { post } = testApp({ failAfter: 0, error: new EngineError(code, "of the engine") });
    for (const stream of [false, true]) {
      const response = await post(CHAT, { messages: HELLO, stream });
      assert.equal(response.status, status);
      const { error } = await response.json();
      assert.deepEqual([error.type, error.param, error.code], [type, null, errorCode]);
      assert.equal(response.headers.has("retry-after"), status === 429 || status === 503);
    }
  }
  const { app, post } = testApp({ state: "loading", progress: 0.5 });
  for (const response of [await app.request("/v1/models"), await post(CHAT, {})]) {
    assert.equal(response.status, 503);
    assert.equal((await response.json()).error.message, "The model is loading: 50 %");
  }
});

Deno.test("an error in the middle of an answer is an event, before [DONE]", async () => {
  const { post } = testApp({
    script: ids("ab"),
    failAfter: 2,
    error: new EngineError("failed", "device 0x1234 said no"),
  });
  const response = await post(COMPLETIONS, { prompt: "a", stream: true });
  assert.equal(response.status, 200);
  const { chunks, done } = await readStream(response);
  assert.ok(done);
  assert.deepEqual(chunks.slice(2), [{
    error: {
      message: "Request failed during generation: the GPU reported an error",
      type: "server_error",
      param: null,
      code: null,
    },
  }]);
});

Deno.test("TGI's routes keep their own shape", async () => {
  const { post } = testApp();
  assert.deepEqual(Object.keys(await (await post("/generate", {})).json()), [
    "error",
    "error_type",
  ]);
});

/** Names that steer the generator towards real fields. */
const FIELDS = [
  ...["model", "temperature", "top_p", "n", "stop", "seed", "presence_penalty", "logit_bias"],
  ...["frequency_penalty", "stream", "stream_options", "top_k", "min_p", "typical_p", "echo"],
  ...["repetition_penalty", "max_tokens", "max_completion_tokens", "best_of", "logprobs", "suffix"],
  ...["top_logprobs", "format", "response_format", "tools", "tool_choice", "functions", "audio"],
  ...["modalities", "ignore_eos", "do_sample", "__proto__", "constructor"],
];

/** What either route answers. */
const ANSWERED = { prompt: "Bonjour", messages: [{ role: "user", content: "Bonjour" }] };

Deno.test("no JSON body gives a 5xx, and every refusal has the error shape", async () => {
  const { post } = testApp({ info: { maxPositions: 60 } });
  const value = fc.oneof(
    fc.jsonValue(),
    fc.double(),
    fc.integer({ min: -3, max: 9 }),
    fc.boolean(),
    fc.string({ unit: "binary", maxLength: 4 }),
    fc.array(fc.string({ unit: "binary", maxLength: 3 }), { maxLength: 5 }),
    fc.dictionary(fc.stringMatching(/^\d{1,3}$/), fc.double({ min: -110, max: 110 })),
    fc.constantFrom("dash", "named", "monologue", "none"),
  );
  const text = fc.string({ unit: "binary", maxLength: 12 });
  const prompt = fc.oneof(
    text,
    fc.array(text, { maxLength: 3 }),
    fc.array(fc.integer({ min: -1, max: 270 }), { maxLength: 5 }),
    fc.array(fc.array(fc.nat(267), { maxLength: 3 }), { maxLength: 3 }),
    fc.jsonValue(),
  );
  const message = fc.record({
    role: fc.oneof(fc.constantFrom("user", "assistant", "system", "developer"), value),
    content: fc.oneof(text, fc.array(fc.record({ type: fc.constant("text"), text })), value),
    name: fc.oneof(text, value),
    tool_calls: value,
  }, { requiredKeys: [] });
  const fields = fc.dictionary(fc.constantFrom(...FIELDS), value, { maxKeys: 4 });
  const bodies = {
    [COMPLETIONS]: fc.tuple(fields, prompt).map(([rest, prompt]) => ({ prompt, ...rest })),
    [CHAT]: fc.tuple(fields, fc.oneof(fc.array(message, { maxLength: 4 }), fc.jsonValue()))
      .map(([rest, messages]) => ({ messages, ...rest })),
  };
  for (const [path, body] of Object.entries(bodies)) {
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.oneof({ weight: 9, arbitrary: body }, fc.jsonValue()), async (json) => {
        const response = await post(path, json);
        statuses.add(response.status);
        const answer = await response.text();
        if (response.status === 200) return assert.doesNotMatch(answer, /"error":/);
        assert.equal(response.status, 400, answer);
        const { error } = JSON.parse(answer);
        assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
        assert.ok(error.message.length > 10, error.message);
        assert.equal(error.type, "invalid_request_error");
      }),
      // Luck alone would now and then make no body that is answered.
      { numRuns: 500, examples: [[{ ...ANSWERED, max_tokens: 3 }]] },
    );
    assert.deepEqual([...statuses].sort(), [200, 400], path);
  }
});

Deno.test("no bytes give a 5xx", async () => {
  const { app } = testApp();
  const paths = fc.constantFrom(COMPLETIONS, CHAT, "/tokenize", "/invocations");
  await fc.assert(
    fc.asyncProperty(paths, fc.uint8Array({ maxLength: 40 }), async (path, bytes) => {
      const headers = { "content-type": "application/json" };
      const body = new Uint8Array(bytes);
      const response = await app.request(path, { method: "POST", headers, body });
      assert.ok([400, 422].includes(response.status), await response.text());
    }),
  );
});

Deno.test("raw connections: sizes, chunks, depth, and a request that does nothing wrong", async () => {
  const { app, engine } = testApp();
  await withServer(app, async (_url, port) => {
    for (const path of [COMPLETIONS, CHAT]) {
      const declared = await raw(port, [head(path, "Content-Length: 2000001"), "{"]);
      assert.match(declared, /^HTTP\/1\.1 413 [^]*"type":"invalid_request_error"/);
      const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
      const chunks = Array<string>(40).fill(chunk);
      const chunked = await raw(port, [head(path, "Transfer-Encoding: chunked"), ...chunks]);
      assert.match(chunked, /^HTTP\/1\.1 413 /);
      const malformed = await raw(port, [head(path, "Content-Length: 3"), '{"p']);
      assert.match(malformed, /^HTTP\/1\.1 400 [^]*could not parse the JSON body/);
      const both = [head(path, "Content-Length: 2\r\nTransfer-Encoding: chunked"), "{}"];
      assert.match(await raw(port, both), /^HTTP\/1\.1 400 /);
      for (const deep of ["[".repeat(200_000), "[".repeat(200_000) + "]".repeat(200_000)]) {
        const nested = await raw(port, [head(path, `Content-Length: ${deep.length}`), deep]);
        assert.match(nested, /^HTTP\/1\.1 400 /);
      }
    }
    assert.equal(engine.requests.length, 0);
    const fine = '{"prompt":"a","max_tokens":2}';
    const served = await raw(port, [head(COMPLETIONS, `Content-Length: ${fine.length}`), fine]);
    assert.match(served, /^HTTP\/1\.1 200 [^]*"text":"Bo"/);
  });
});
