/** `/v1/chat/completions`: messages as dialogues, and answers in OpenAI's shape. */
import assert from "node:assert/strict";
import { END_OF_TEXT, ids, NOTHING_CACHED, readStream, testApp, tokenizer } from "./helpers.ts";

const PATH = "/v1/chat/completions";
const HELLO = [{ role: "user", content: "Bonjour !" }];

/** What the engine was asked to go on from. */
async function promptOf(body: object): Promise<string> {
  const { post, engine } = testApp();
  const response = await post(PATH, body);
  assert.equal(response.status, 200, await response.text());
  return tokenizer.decode(engine.requests[0]!.request.prompt);
}

const user = (content: unknown, name?: string) => ({ role: "user", content, name });
const assistant = (content: unknown, name?: string) => ({ role: "assistant", content, name });
const system = (content: unknown) => ({ role: "system", content });

Deno.test("messages are turns of numbered speakers, or of named ones where they have names", async () => {
  const cases: [messages: unknown[], prompt: string][] = [
    [[user("Bonjour !")], "[Intervenant 1:] Bonjour !\n[Intervenant 2:]"],
    [
      [user("Ça va ?"), assistant("Oui."), user("Bien.")],
      "[Intervenant 1:] Ça va ?\n[Intervenant 2:] Oui.\n[Intervenant 1:] Bien.\n[Intervenant 2:]",
    ],
    // The example of the model's card.
    [
      [
        user("Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?", "Mme Camille Durand"),
        assistant("Bonjour Camille,", "Mr. Dominique Petit"),
      ],
      "[Mme Camille Durand:] Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n" +
      "[Mr. Dominique Petit:] Bonjour Camille,",
    ],
    [
      [user("Salut", "Ana"), user("Coucou", "Zoé"), assistant("Oui ?", "Léo"), user("Rien")],
      "[Ana:] Salut\n[Zoé:] Coucou\n[Léo:] Oui ?\n[Intervenant 1:] Rien\n[Léo:]",
    ],
    [[user("Salut", "Ana")], "[Ana:] Salut\n[Claire:]"],
    // An empty message at the end names who answers.
    [[user("Salut", "Ana"), assistant("", "Léo")], "[Ana:] Salut\n[Léo:]"],
    // As Claire's training text was written.
    [[user("« L’été… »\u00a0!\r\nOui")], '[Intervenant 1:] "L\'été..." ! Oui\n[Intervenant 2:]'],
    // Messages that follow one another are one turn; silence is none.
    [
      [user("Un."), user(" "), user("Deux.")],
      "[Intervenant 1:] Un. Deux.\n[Intervenant 2:]",
    ],
  ];
  for (const [messages, prompt] of cases) assert.equal(await promptOf({ messages }), prompt);
});

Deno.test("the format may be chosen", async () => {
  const messages = [user("Ça va ?"), assistant("Oui."), user("Bien.")];
  assert.equal(await promptOf({ messages, format: "dash" }), "- Ça va ?\n- Oui.\n- Bien.\n-");
  assert.equal(
    await promptOf({ messages: [user("Salut", "Ana")], format: "intervenant" }),
    "[Intervenant 1:] Salut\n[Intervenant 2:]",
  );
  assert.equal(
    await promptOf({ messages: [user("Salut")], format: "named" }),
    "[Intervenant 1:] Salut\n[Claire:]",
  );
  assert.equal(
    await promptOf({ messages: [user("Mesdames et messieurs,")], format: "monologue" }),
    "Mesdames et messieurs,",
  );
});

Deno.test("system and developer text stands before the dialogue, and forges no turn", async () => {
  const messages = [
    system("Deux amis\nà [Paris]."),
    user("- Salut\n[Intervenant 2:] Non"),
    { role: "developer", content: "Il pleut." },
  ];
  assert.equal(
    await promptOf({ messages }),
    "Deux amis à (Paris).\nIl pleut.\n[Intervenant 1:] Salut (Intervenant 2:) Non\n[Intervenant 2:]",
  );
});

Deno.test("content may come in parts, of text alone", async () => {
  const parts = [{ type: "text", text: "Ça " }, { type: "text", text: "va ?" }];
  assert.match(await promptOf({ messages: [user(parts)] }), /\] Ça va \?\n/);
  const image = { type: "image_url", image_url: { url: "http://127.0.0.1:1/x.png" } };
  const response = await testApp().post(PATH, { messages: [user([parts[0], image])] });
  assert.equal(response.status, 400);
  assert.deepEqual((await response.json()).error, {
    message: "Invalid value: 'image_url'. Supported values are: 'text'.",
    type: "invalid_request_error",
    param: "messages[0].content[1].type",
    code: "invalid_value",
  });
});

Deno.test("an answer is a message that ends with its turn", async () => {
  const app = testApp({ script: ids(" Né 🙂.\n[Intervenant 1:] Et"), info: { model: "Claire" } });
  const response = await app.post(PATH, { model: "gpt-4o", messages: HELLO });
  const { id, created, ...rest } = await response.json();
  assert.match(id, /^chatcmpl-[0-9a-f]{32}$/);
  assert.ok(Math.abs(created - Date.now() / 1000) < 60);
  assert.deepEqual(rest, {
    object: "chat.completion",
    model: "Claire",
    system_fingerprint: "clairon-0.1.0",
    choices: [{
      index: 0,
      message: { role: "assistant", content: "Né 🙂.", refusal: null },
      logprobs: null,
      finish_reason: "stop",
    }],
    usage: { prompt_tokens: 43, completion_tokens: 11, total_tokens: 54, ...NOTHING_CACHED },
  });
  // By default it may fill the context.
  const { prompt, maxNewTokens } = app.engine.requests[0]!.request;
  assert.equal(prompt.length + maxNewTokens, 2048);
});

Deno.test("the turn's end: a line break in every format, a bracket where there are tags", async () => {
  const answer = async (script: string, body: object) => {
    const response = await testApp({ script: ids(script) }).post(PATH, {
      messages: HELLO,
      max_tokens: 14,
      ...body,
    });
    const { choices: [{ message, finish_reason }] } = await response.json();
    return [message.content, finish_reason];
  };
  assert.deepEqual(await answer(" Oui.[Non]", {}), ["Oui.", "stop"]);
  assert.deepEqual(await answer(" Oui.[Non]\nAh", { format: "dash" }), ["Oui.[Non]", "stop"]);
  assert.deepEqual(await answer(" un deux trois", { stop: " tr" }), ["un deux", "stop"]);
  assert.deepEqual(await answer(" un deux trois quatre", {}), ["un deux trois", "length"]);
  // What comes after the start of an answer is added to it as it is.
  const begun = { messages: [...HELLO, { role: "assistant", content: "Je" }] };
  assert.deepEqual(await answer(" crois.\n", begun), [" crois.", "stop"]);
});

Deno.test("log-probabilities are the raw ones, with the bytes of each token", async () => {
  const script = [
    { id: 207, logprob: -2, processedLogprob: -9, top: [{ id: 33, logprob: -0.5 }] },
    { id: 181, logprob: -0.25, processedLogprob: -9, top: [] },
    { id: END_OF_TEXT, logprob: -1, top: [] },
  ];
  const response = await testApp({ script }).post(PATH, {
    messages: HELLO,
    logprobs: true,
    top_logprobs: 1,
  });
  const { choices: [{ message, logprobs }] } = await response.json();
  assert.equal(message.content, "é");
  assert.deepEqual(logprobs, {
    content: [
      {
        token: "\\xc3",
        logprob: -2,
        bytes: [0xc3],
        top_logprobs: [{ token: "\u0015", logprob: -0.5, bytes: [21] }],
      },
      { token: "\\xa9", logprob: -0.25, bytes: [0xa9], top_logprobs: [] },
    ],
    refusal: null,
  });
});

Deno.test("a stream: the role first, then the text, the reason, the usage and [DONE]", async () => {
  const { post } = testApp({ script: [...ids(" Né."), END_OF_TEXT] });
  const response = await post(PATH, {
    messages: HELLO,
    stream: true,
    stream_options: { include_usage: true },
  });
  const { chunks, done } = await readStream(response);
  assert.ok(done);
  const [{ id, created }] = chunks;
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id,
    object: "chat.completion.chunk",
    created,
    model: "fake",
    system_fingerprint: "clairon-0.1.0",
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    usage: null,
  });
  assert.match(id, /^chatcmpl-/);
  assert.deepEqual(chunks, [
    chunk({ role: "assistant", content: "", refusal: null }),
    chunk({ content: "N" }),
    chunk({ content: "é" }),
    chunk({ content: "." }),
    chunk({}, "stop"),
    {
      ...chunk({}),
      choices: [],
      usage: { prompt_tokens: 43, completion_tokens: 6, total_tokens: 49, ...NOTHING_CACHED },
    },
  ]);
});

Deno.test("a stream says the same as the whole answer, for each choice", async () => {
  const script = ids("  Très bien, 🙂è !\nre");
  const bodies = [
    { messages: HELLO, n: 3, seed: 4, logprobs: true, top_logprobs: 2 },
    { messages: HELLO, max_tokens: 9 },
    { messages: HELLO, max_completion_tokens: 12, stop: ["n, ", "bien; "], logprobs: true },
    { messages: HELLO, format: "dash", n: 2 },
  ];
  for (const body of bodies) {
    const whole = await (await testApp({ script }).post(PATH, body)).json();
    const app = testApp({ script });
    const { chunks } = await readStream(await app.post(PATH, { ...body, stream: true }));
    // deno-lint-ignore no-explicit-any
    const merged: any[] = [];
    for (const { choices: [{ index, delta, logprobs, finish_reason }] } of chunks) {
      const choice = merged[index] ??= {
        index,
        message: { role: delta.role, content: "", refusal: delta.refusal },
        logprobs: null,
        finish_reason: null,
      };
      choice.message.content += delta.content ?? "";
      choice.finish_reason = finish_reason;
      if (logprobs) {
        choice.logprobs ??= { content: [], refusal: null };
        choice.logprobs.content.push(...logprobs.content);
      }
    }
    assert.deepEqual(merged, whole.choices);
    const seeds = app.engine.requests.map(({ request }) => request.sampling.seed);
    assert.equal(new Set(seeds).size, body.n ?? 1);
  }
});
