/** TGI v3.3.7's complaints, word for word, and what accepted requests mean to the engine. */
import assert from "node:assert/strict";
import { END_OF_TEXT, ids, testApp } from "./helpers.ts";

/** Small enough to hit: 20 tokens in all, so at most 19 of a prompt. */
const SMALL = { info: { maxPositions: 20 } };

type Case = [inputs: string, parameters: Record<string, unknown>, message: string];

const REFUSALS: Case[] = [
  ["a", { best_of: 3, do_sample: true }, "`best_of` must be > 0 and <= 2. Given: 3"],
  ["a", { best_of: 0, do_sample: true }, "`best_of` must be > 0 and <= 2. Given: 0"],
  ["a", { best_of: 2 }, "you must use sampling when `best_of` is > 1"],
  ["a", { temperature: 0 }, "`temperature` must be strictly positive"],
  ["a", { temperature: -1 }, "`temperature` must be strictly positive"],
  // Too small for a float32.
  ["a", { temperature: 1e-60 }, "`temperature` must be strictly positive"],
  ["a", { temperature: 101 }, "`temperature` must be <= 100"],
  ["a", { repetition_penalty: 0 }, "`repetition_penalty` must be strictly positive"],
  ["a", { repetition_penalty: 1e9 }, "`repetition_penalty` must be >= 0.01 and <= 100"],
  ["a", { repetition_penalty: 1e-9 }, "`repetition_penalty` must be >= 0.01 and <= 100"],
  ["a", { frequency_penalty: -2.01 }, "`frequency_penalty` must be >= -2.0 and <= 2.0"],
  ["a", { frequency_penalty: 2.01 }, "`frequency_penalty` must be >= -2.0 and <= 2.0"],
  ["a", { top_p: 0 }, "`top_p` must be > 0.0 and < 1.0"],
  ["a", { top_p: 1 }, "`top_p` must be > 0.0 and < 1.0"],
  ["a", { top_p: 0.9999999999 }, "`top_p` must be > 0.0 and < 1.0"],
  ["a", { typical_p: 0 }, "`typical_p` must be > 0.0 and < 1.0"],
  ["a", { typical_p: 1 }, "`typical_p` must be > 0.0 and < 1.0"],
  ["a", { top_k: 0 }, "`top_k` must be strictly positive"],
  ["a", { top_k: -1 }, "`top_k` must be strictly positive"],
  ["a", { max_new_tokens: 0 }, "`max_new_tokens` must be strictly positive"],
  ["a", { stop: ["1", "2", "3", "4", "5"] }, "`stop` supports up to 4 stop sequences. Given: 5"],
  [
    "a",
    { best_of: 2, do_sample: true, seed: 0 },
    "`seed` must not be set when `best_of` > 1",
  ],
  ["a", { top_n_tokens: 6 }, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"],
  ["", {}, "`inputs` cannot be empty"],
  ["a", { truncate: 0 }, "`truncate` must be strictly positive and less than 19. Given: 0"],
  ["a", { truncate: 20 }, "`truncate` must be strictly positive and less than 19. Given: 20"],
  [
    "abc",
    { max_new_tokens: 18 },
    "`inputs` tokens + `max_new_tokens` must be <= 20. Given: 3 `inputs` tokens and 18 `max_new_tokens`",
  ],
  [
    "a".repeat(21),
    {},
    "`inputs` tokens + `max_new_tokens` must be <= 20. Given: 21 `inputs` tokens and 0 `max_new_tokens`",
  ],
  ["a".repeat(20), {}, "`inputs` must have less than 19 tokens. Given: 20"],
  ["a", { grammar: { type: "regex", value: "a+" } }, "grammar is not supported"],
  ["a", { watermark: true }, "`watermark` is not supported"],
  ["a", { adapter_id: "mine" }, "`adapter_id` is not supported"],
];

Deno.test("POST /generate refuses in TGI's words", async () => {
  const { post, engine } = testApp(SMALL);
  for (const [inputs, parameters, message] of REFUSALS) {
    const response = await post("/generate", { inputs, parameters });
    assert.equal(response.status, 422, message);
    assert.deepEqual(await response.json(), {
      error: `Input validation error: ${message}`,
      error_type: "validation",
    });
  }
  assert.equal(engine.requests.length, 0);
});

Deno.test("the streaming routes refuse before a stream opens", async () => {
  const { post } = testApp(SMALL);
  const cases: Case[] = [
    ["a", { best_of: 2, do_sample: true }, "`best_of` != 1 is not supported when streaming tokens"],
    ["a", { best_of: 0 }, "`best_of` != 1 is not supported when streaming tokens"],
    [
      "a",
      { decoder_input_details: true, temperature: 0 },
      "`decoder_input_details` == true is not supported when streaming tokens",
    ],
    ...REFUSALS.filter(([, parameters]) => !("best_of" in parameters)),
  ];
  for (const [inputs, parameters, message] of cases) {
    for (const [path, extra] of [["/generate_stream", {}], ["/", { stream: true }]] as const) {
      const response = await post(path, { inputs, parameters, ...extra });
      assert.equal(response.status, 422, message);
      assert.equal((await response.json()).error, `Input validation error: ${message}`);
    }
  }
});

Deno.test("with best_of limited to 1, another number is not allowed at all", async () => {
  const { post } = testApp({}, { bestOf: 1 });
  const response = await post("/generate", { inputs: "a", parameters: { best_of: 2 } });
  assert.equal(
    (await response.json()).error,
    "Input validation error: `best_of` != 1 is not allowed for this endpoint",
  );
});

Deno.test("checks come in TGI's order", async () => {
  const { post } = testApp(SMALL);
  // Each entry is wrong by itself; the first complaint is always the leftmost one left.
  const wrong: [Record<string, unknown>, string][] = [
    [{ temperature: 0 }, "`temperature`"],
    [{ repetition_penalty: 0 }, "`repetition_penalty`"],
    [{ frequency_penalty: 3 }, "`frequency_penalty`"],
    [{ top_p: 0 }, "`top_p`"],
    [{ typical_p: 0 }, "`typical_p`"],
    [{ top_k: 0 }, "`top_k`"],
    [{ max_new_tokens: 0 }, "`max_new_tokens`"],
    [{ stop: ["", "", "", "", ""] }, "`stop`"],
    [{ top_n_tokens: 9 }, "`top_n_tokens`"],
    [{ truncate: 0 }, "`truncate`"],
    [{ grammar: {} }, "grammar"],
  ];
  for (let first = 0; first < wrong.length; first++) {
    const parameters = Object.assign({}, ...wrong.slice(first).map(([parameter]) => parameter));
    const response = await post("/generate", { inputs: "a", parameters });
    const { error } = await response.json();
    assert.ok(error.startsWith(`Input validation error: ${wrong[first]![1]} `), error);
  }
});

Deno.test("types are checked as Rust would, and named by their path", async () => {
  const { post } = testApp();
  const cases: [body: unknown, reason: string][] = [
    [{}, "missing field `inputs`"],
    [null, "expected an object"],
    [[], "expected an object"],
    ["text", "expected an object"],
    [{ inputs: null }, "inputs: expected a string"],
    [{ inputs: "a", stream: "yes" }, "stream: expected a boolean"],
    [{ inputs: "a", parameters: [] }, "parameters: expected an object"],
    [
      { inputs: "a", parameters: { temperature: "1" } },
      "parameters.temperature: expected a number",
    ],
    [{ inputs: "a", parameters: { best_of: 1.5 } }, "parameters.best_of: expected usize"],
    [{ inputs: "a", parameters: { best_of: -1 } }, "parameters.best_of: expected usize"],
    [{ inputs: "a", parameters: { top_k: 2 ** 31 } }, "parameters.top_k: expected i32"],
    [
      { inputs: "a", parameters: { max_new_tokens: -1 } },
      "parameters.max_new_tokens: expected u32",
    ],
    [{ inputs: "a", parameters: { seed: -1 } }, "parameters.seed: expected u64"],
    [{ inputs: "a", parameters: { seed: 2 ** 65 } }, "parameters.seed: expected u64"],
    [{ inputs: "a", parameters: { details: 1 } }, "parameters.details: expected a boolean"],
    [{ inputs: "a", parameters: { stop: "x" } }, "parameters.stop: expected an array of strings"],
    [{ inputs: "a", parameters: { stop: [1] } }, "parameters.stop.0: expected a string"],
  ];
  for (const [body, reason] of cases) {
    const response = await post("/generate", body);
    assert.equal(response.status, 422, reason);
    assert.deepEqual(await response.json(), {
      error: `Failed to deserialize the JSON body into the target type: ${reason}`,
      error_type: "validation",
    });
  }
});

Deno.test("null counts as absent, and unknown fields are ignored", async () => {
  const { post } = testApp();
  const names = [
    ...["best_of", "temperature", "repetition_penalty", "frequency_penalty", "top_k", "top_p"],
    ...["typical_p", "do_sample", "max_new_tokens", "return_full_text", "stop", "truncate"],
    ...["watermark", "details", "decoder_input_details", "seed", "top_n_tokens", "grammar"],
    ...["adapter_id", "no_such_parameter"],
  ];
  const parameters = Object.fromEntries(names.map((name) => [name, null]));
  const body = { inputs: "a", parameters, model: "x", options: { wait: true } };
  assert.equal((await post("/generate", body)).status, 200);
});

Deno.test("a request means to the engine what it means to TGI's sampler", async () => {
  const neutral = {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    typicalP: 1,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    frequencyScope: "context",
    presencePenalty: 0,
    logitBias: [],
  };
  const cases: [parameters: unknown, sampling: Record<string, unknown>][] = [
    [{}, {}],
    // TGI samples where there are no parameters at all.
    [undefined, { temperature: 1 }],
    [{ do_sample: false }, {}],
    [{ do_sample: true }, { temperature: 1 }],
    [{ temperature: 1 }, {}],
    [{ temperature: 0.5 }, { temperature: 0.5 }],
    [{ temperature: 1e-30 }, { temperature: 1e-6 }],
    [{ top_k: 5 }, { temperature: 1, topK: 5 }],
    [{ top_k: 2 ** 31 - 1 }, { temperature: 1, topK: 268 }],
    [{ top_p: 0.5 }, { temperature: 1, topP: 0.5 }],
    [{ typical_p: 0.5 }, { temperature: 1, typicalP: 0.5 }],
    [{ repetition_penalty: 1.2, frequency_penalty: -1 }, {
      repetitionPenalty: 1.2,
      frequencyPenalty: -1,
    }],
    [{ do_sample: true, seed: 7 }, { temperature: 1, seed: 7 }],
    [{ do_sample: true, seed: Number.MAX_SAFE_INTEGER }, {
      temperature: 1,
      seed: 9007199254740991,
    }],
    // 2^53 + 2 is 2 modulo 2^53.
    [{ do_sample: true, seed: 2 ** 53 + 2 }, { temperature: 1, seed: 2 }],
    [{ do_sample: true, seed: 2 ** 64 }, { temperature: 1, seed: 0 }],
  ];
  for (const [parameters, expected] of cases) {
    const { post, engine } = testApp();
    assert.equal((await post("/generate", { inputs: "ab", parameters })).status, 200);
    const { sampling } = engine.requests[0]!.request;
    const { seed } = sampling;
    assert.deepEqual(sampling, { ...neutral, seed, ...expected });
    assert.ok(Number.isSafeInteger(seed) && seed >= 0);
  }
});

Deno.test("lengths: the rest of the context by default, the last `truncate` tokens", async () => {
  const { post, engine } = testApp(SMALL);
  await post("/generate", { inputs: "abc", parameters: {} });
  await post("/generate", { inputs: "a".repeat(30) + "bcd", parameters: { truncate: 3 } });
  await post("/generate", {
    inputs: "abc",
    parameters: { truncate: 19, max_new_tokens: 2, top_n_tokens: 5, decoder_input_details: true },
  });
  const [rest, truncated, all] = engine.requests.map(({ request }) => request);
  assert.deepEqual(rest!.prompt, ids("abc"));
  assert.equal(rest!.maxNewTokens, 17);
  assert.deepEqual(rest!.stopTokens, [END_OF_TEXT]);
  assert.equal(rest!.promptLogprobs, false);
  assert.deepEqual(truncated!.prompt, ids("bcd"));
  assert.deepEqual(all!.prompt, ids("abc"));
  assert.equal(all!.maxNewTokens, 2);
  assert.equal(all!.topTokens, 5);
  assert.equal(all!.promptLogprobs, true);
});

Deno.test("a prompt that would block the server is refused before it is tokenised", async () => {
  const { post } = testApp({}, { inputCharacters: 100 });
  const response = await post("/generate", {
    inputs: "a".repeat(101),
    parameters: { truncate: 5 },
  });
  assert.equal(response.status, 422);
  assert.match((await response.json()).error, /at most 100 characters\. Given: 101$/);
});

Deno.test("the spelling of a special token in a prompt is plain text", async () => {
  const { post, engine } = testApp();
  await post("/generate", { inputs: "<|endoftext|>", parameters: { max_new_tokens: 1 } });
  assert.deepEqual(engine.requests[0]!.request.prompt, ids("<|endoftext|>"));
});
