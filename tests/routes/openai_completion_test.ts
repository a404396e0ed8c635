/** `/v1/completions`, field by field, against literals written from OpenAI's API reference. */
import assert from "node:assert/strict";
import { END_OF_TEXT, ids, NOTHING_CACHED, readStream, testApp } from "./helpers.ts";

const NEUTRAL = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  frequencyScope: "output",
  presencePenalty: 0,
  logitBias: [],
};

/** "Hé" and the end of text. */
const SCRIPT = [
  { id: 84, logprob: -1, processedLogprob: -9, top: [{ id: 84, logprob: -1 }] },
  { id: 207, logprob: -2, processedLogprob: -9, top: [{ id: 33, logprob: -0.5 }] },
  { id: 181, logprob: -0.25, processedLogprob: -9, top: [{ id: 181, logprob: -0.25 }] },
  { id: END_OF_TEXT, logprob: -3, processedLogprob: -9, top: [] },
];

/** The answer without what differs from one to the next. */
async function complete(app: ReturnType<typeof testApp>, body: object) {
  const response = await app.post("/v1/completions", body);
  const { id, created, ...rest } = await response.json();
  assert.equal(response.status, 200, JSON.stringify(rest));
  assert.match(id, /^cmpl-[0-9a-f]{32}$/);
  assert.ok(Math.abs(created - Date.now() / 1000) < 60);
  return rest;
}

Deno.test("an answer has OpenAI's fields, our model's name, and 16 tokens at most", async () => {
  const app = testApp({ script: ids("abc"), info: { model: "Claire" } });
  assert.deepEqual(await complete(app, { model: "gpt-3.5-turbo-instruct", prompt: "Né" }), {
    object: "text_completion",
    model: "Claire",
    system_fingerprint: "clairon-0.1.0",
    choices: [{ text: "abcabcabcabcabca", index: 0, logprobs: null, finish_reason: "length" }],
    usage: { prompt_tokens: 3, completion_tokens: 16, total_tokens: 19, ...NOTHING_CACHED },
  });
  const { request } = app.engine.requests[0]!;
  const { seed, ...sampling } = request.sampling;
  assert.deepEqual(sampling, NEUTRAL);
  assert.ok(Number.isSafeInteger(seed));
  assert.deepEqual(request.prompt, ids("Né"));
  assert.deepEqual(request.stopTokens, [END_OF_TEXT]);
});

Deno.test("the default length gives way to the context's end", async () => {
  const app = testApp({ info: { maxPositions: 10 } });
  const { usage } = await complete(app, { prompt: "abcd" });
  assert.equal(usage.completion_tokens, 6);
});

Deno.test("log-probabilities are the raw ones; parts of characters are named by their bytes", async () => {
  const { choices, usage } = await complete(testApp({ script: SCRIPT }), {
    prompt: "a",
    logprobs: 1,
  });
  assert.deepEqual(choices, [{
    text: "Hé",
    index: 0,
    logprobs: {
      tokens: ["H", "bytes:\\xc3", "bytes:\\xa9"],
      token_logprobs: [-1, -2, -0.25],
      top_logprobs: [
        { H: -1 },
        // The token itself belongs to the list, and so does the likelier one.
        { "bytes:\\xc3": -2, "\u0015": -0.5 },
        { "bytes:\\xa9": -0.25 },
      ],
      text_offset: [0, 1, 1],
    },
    finish_reason: "stop",
  }]);
  // The end of text was generated, too.
  assert.equal(usage.completion_tokens, 4);
});

Deno.test("echo puts the prompt first, with log-probabilities of its own", async () => {
  const app = testApp({ script: [{ id: 84, logprob: -1 }] });
  const { choices, usage } = await complete(app, {
    prompt: "é!",
    echo: true,
    logprobs: 1,
    max_tokens: 1,
  });
  assert.deepEqual(choices[0], {
    text: "é!H",
    index: 0,
    logprobs: {
      tokens: ["bytes:\\xc3", "bytes:\\xa9", "!", "H"],
      token_logprobs: [null, -0.25, -0.5, -1],
      top_logprobs: [null, { "bytes:\\xa9": -0.25 }, { "!": -0.5 }, { H: -1 }],
      text_offset: [0, 0, 1, 2],
    },
    finish_reason: "length",
  });
  assert.deepEqual(usage, {
    prompt_tokens: 3,
    completion_tokens: 1,
    total_tokens: 4,
    ...NOTHING_CACHED,
  });
  assert.equal(app.engine.requests[0]!.request.promptLogprobs, true);
});

Deno.test("echo with max_tokens 0 scores a prompt and generates nothing", async () => {
  const app = testApp({ script: SCRIPT });
  const scored = await complete(app, { prompt: ids("ab"), echo: true, logprobs: 0, max_tokens: 0 });
  assert.deepEqual(scored.choices[0], {
    text: "ab",
    index: 0,
    logprobs: {
      tokens: ["a", "b"],
      token_logprobs: [null, -0.25],
      top_logprobs: [null, { b: -0.25 }],
      text_offset: [0, 1],
    },
    finish_reason: "length",
  });
  assert.deepEqual(scored.usage, {
    prompt_tokens: 2,
    completion_tokens: 0,
    total_tokens: 2,
    ...NOTHING_CACHED,
  });
  assert.deepEqual(app.engine.requests.map(({ outcome }) => outcome), ["cancelled"]);
  const plain = await complete(app, { prompt: "ab", echo: true, max_tokens: 0 });
  assert.equal(plain.choices[0].text, "ab");
  assert.equal(app.engine.requests.length, 1);
});

Deno.test("prompts: text, texts, token ids, lists of token ids; n answers for each", async () => {
  const cases: [prompt: unknown, prompts: number[][]][] = [
    ["ab", [ids("ab")]],
    [["ab", "c"], [ids("ab"), ids("c")]],
    [[100, 11, 5], [[100, 11, 5]]],
    [[[100], [101, 102]], [[100], [101, 102]]],
  ];
  for (const [prompt, prompts] of cases) {
    const app = testApp({ script: ids("x") });
    const { choices, usage } = await complete(app, { prompt, n: 2, max_tokens: 1 });
    assert.deepEqual(
      app.engine.requests.map(({ request }) => request.prompt),
      prompts.flatMap((ids) => [ids, ids]),
    );
    assert.deepEqual(choices.map(({ index }: { index: number }) => index), [
      ...Array(2 * prompts.length).keys(),
    ]);
    // Each prompt counts once, each answer for itself.
    assert.equal(usage.prompt_tokens, prompts.flat().length);
    assert.equal(usage.completion_tokens, 2 * prompts.length);
  }
});

Deno.test("each choice has a seed of its own, which follows from the request's", async () => {
  const seeds = async (body: object) => {
    const app = testApp();
    await complete(app, { prompt: ["a", "b"], max_tokens: 1, ...body });
    return app.engine.requests.map(({ request }) => request.sampling.seed);
  };
  const first = await seeds({ n: 3, seed: 7 });
  assert.deepEqual(first.slice(0, 3), [7, 8793187370125032, 8579175485509065]);
  // A prompt's answers do not depend on those beside it.
  assert.deepEqual(first.slice(3), first.slice(0, 3));
  assert.deepEqual(await seeds({ n: 3, seed: 7 }), first);
  assert.equal((await seeds({ n: 3, seed: 8 })).filter((seed) => first.includes(seed)).length, 0);
  // Any 64-bit number is a seed: -1 is 2^53 - 1 modulo 2^53.
  assert.deepEqual(await seeds({ seed: -1 }), [2 ** 53 - 1, 2 ** 53 - 1]);
  assert.deepEqual(await seeds({ seed: 2 ** 63 }), [0, 0]);
  const [random, other] = [await seeds({}), await seeds({})];
  assert.notDeepEqual(random, other);
});

Deno.test("best_of gives the n likeliest a token, likeliest first, and counts all", async () => {
  const means = [-2, -1, -3, -0.5];
  let call = -1;
  const app = testApp({
    script: (_, index) => {
      if (index === 0) call++;
      return { id: 109 + call, logprob: means[call]! };
    },
  });
  const { choices, usage } = await complete(app, { prompt: "a", n: 2, best_of: 4, max_tokens: 2 });
  assert.deepEqual(choices.map(({ text }: { text: string }) => text), ["dd", "bb"]);
  assert.deepEqual(choices.map(({ index }: { index: number }) => index), [0, 1]);
  assert.equal(usage.completion_tokens, 8);
});

Deno.test("a stop string is cut off, with the tokens that make it up", async () => {
  const app = testApp({ script: ids("un, deux, trois") });
  const body = { prompt: "a", logprobs: 0, max_tokens: 40 };
  const { choices: [choice] } = await complete(app, { ...body, stop: [", t", "zzz"] });
  assert.equal(choice.text, "un, deux");
  assert.equal(choice.finish_reason, "stop");
  assert.deepEqual(choice.logprobs.tokens, [..."un, deux"]);
  const { choices: [single] } = await complete(app, { ...body, stop: "deux" });
  assert.equal(single.text, "un, ");
  // On the last token that is allowed, it still is a stop.
  const { choices: [last] } = await complete(app, { ...body, stop: "n", max_tokens: 2 });
  assert.deepEqual([last.text, last.finish_reason], ["u", "stop"]);
  const { choices: [cut] } = await complete(app, { ...body, stop: "n,", max_tokens: 2 });
  assert.deepEqual([cut.text, cut.finish_reason, cut.logprobs.tokens], ["un", "length", [
    "u",
    "n",
  ]]);
});

Deno.test("what sampling fields mean to the engine, those of other servers included", async () => {
  const cases: [given: object, expected: object][] = [
    [{ temperature: 0 }, { temperature: 0 }],
    [{ temperature: 1e-9 }, { temperature: 1e-6 }],
    [{ temperature: 2, top_p: 0.5 }, { temperature: 2, topP: 0.5 }],
    [{ do_sample: false }, { temperature: 0 }],
    [{ do_sample: false, temperature: 0.5 }, { temperature: 0.5 }],
    [{ do_sample: true }, {}],
    [{ presence_penalty: -2, frequency_penalty: 2 }, { presencePenalty: -2, frequencyPenalty: 2 }],
    [{ logit_bias: { 50: -100, 3: 12.5 } }, { logitBias: [[3, 12.5], [50, -100]] }],
    [{ logit_bias: {} }, {}],
    [{ top_k: 40, min_p: 0.1, typical_p: 0.9, repetition_penalty: 1.1 }, {
      topK: 40,
      minP: 0.1,
      typicalP: 0.9,
      repetitionPenalty: 1.1,
    }],
    [{ top_k: -1 }, {}],
    [{ top_k: 1e9 }, { topK: 268 }],
  ];
  for (const [given, expected] of cases) {
    const app = testApp();
    await complete(app, { prompt: "a", ...given });
    const { seed: _, ...sampling } = app.engine.requests[0]!.request.sampling;
    assert.deepEqual(sampling, { ...NEUTRAL, ...expected });
  }
  const app = testApp({ script: SCRIPT });
  const { choices } = await complete(app, { prompt: "a", ignore_eos: true, max_tokens: 5 });
  assert.equal(choices[0].text, "HéH");
  assert.deepEqual(app.engine.requests[0]!.request.stopTokens, []);
});

Deno.test("null counts as absent, and unknown fields are ignored", async () => {
  const names = [
    ...["model", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "presence_penalty"],
    ...["frequency_penalty", "logit_bias", "stream", "stream_options", "top_k", "min_p", "suffix"],
    ...["typical_p", "repetition_penalty", "best_of", "echo", "logprobs", "user", "whatever"],
  ];
  const app = testApp();
  await complete(app, { ...Object.fromEntries(names.map((name) => [name, null])), prompt: "a" });
  await complete(app, { prompt: "a", suffix: "", user: {}, guided_json: {}, __proto__: 1 });
});

Deno.test("a stream: one chunk after the other, then [DONE], with the usage if asked for", async () => {
  const { post } = testApp({ script: SCRIPT });
  const body = { prompt: "a", stream: true, logprobs: 1 };
  const response = await post("/v1/completions", {
    ...body,
    stream_options: { include_usage: true },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const { chunks, done } = await readStream(response);
  assert.ok(done);
  const [{ id, created }] = chunks;
  const chunk = (text: string, logprobs: object, finish_reason: string | null) => ({
    id,
    object: "text_completion",
    created,
    model: "fake",
    system_fingerprint: "clairon-0.1.0",
    choices: [{ text, index: 0, logprobs, finish_reason }],
    usage: null,
  });
  const none = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  assert.deepEqual(chunks, [
    chunk("H", {
      tokens: ["H"],
      token_logprobs: [-1],
      top_logprobs: [{ H: -1 }],
      text_offset: [0],
    }, null),
    chunk("é", {
      tokens: ["bytes:\\xc3", "bytes:\\xa9"],
      token_logprobs: [-2, -0.25],
      top_logprobs: [{ "\u0015": -0.5, "bytes:\\xc3": -2 }, { "bytes:\\xa9": -0.25 }],
      text_offset: [1, 1],
    }, null),
    chunk("", none, "stop"),
    {
      ...chunk("", none, null),
      choices: [],
      usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5, ...NOTHING_CACHED },
    },
  ]);
  const plain = await readStream(await post("/v1/completions", body));
  assert.ok(plain.chunks.every((chunk) => !("usage" in chunk)));
});

Deno.test("a stream never shows the beginning of a stop string", async () => {
  const { post } = testApp({ script: ids("un [Int] deux [Intervenant") });
  const response = await post("/v1/completions", {
    prompt: "a",
    stop: "[Intervenant",
    max_tokens: 100,
    stream: true,
    logprobs: 0,
  });
  const { chunks } = await readStream(response);
  const choices = chunks.map(({ choices: [choice] }) => choice);
  assert.equal(choices.map(({ text }) => text).join(""), "un [Int] deux ");
  assert.equal(choices.flatMap(({ logprobs }) => logprobs.tokens).join(""), "un [Int] deux ");
  assert.equal(choices.at(-1).finish_reason, "stop");
});

Deno.test("a stream says the same as the whole answer, for each choice", async () => {
  const script = [...ids("Très bien, 🙂è!\nre"), END_OF_TEXT];
  const bodies = [
    { prompt: "a", max_tokens: 5 },
    { prompt: ["a", "Né"], n: 2, max_tokens: 9, logprobs: 2, echo: true },
    { prompt: "a", max_tokens: 50, stop: ["è!", "s\n"], logprobs: 0 },
    { prompt: ids("ab"), max_tokens: 0, echo: true, logprobs: 1, n: 2 },
    { prompt: "a", max_tokens: 13, seed: 3, temperature: 0.5 },
  ];
  for (const body of bodies) {
    const whole = await (await testApp({ script }).post("/v1/completions", body)).json();
    const streamed = await readStream(
      await testApp({ script }).post("/v1/completions", {
        ...body,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    // deno-lint-ignore no-explicit-any
    const merged: any[] = [];
    for (const { choices: [choice] } of streamed.chunks.slice(0, -1)) {
      const known = merged[choice.index] ??= { ...choice, text: "", logprobs: null };
      known.text += choice.text;
      known.finish_reason = choice.finish_reason;
      for (const [name, list] of Object.entries(choice.logprobs ?? {})) {
        known.logprobs ??= {};
        known.logprobs[name] = [...known.logprobs[name] ?? [], ...list as unknown[]];
      }
    }
    assert.deepEqual(merged, whole.choices);
    assert.deepEqual(streamed.chunks.at(-1)!.usage, whole.usage);
  }
});
