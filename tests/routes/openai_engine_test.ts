/** OpenAI's routes over the real engine and the built-in model. */
import assert from "node:assert/strict";
import fc from "fast-check";
import OpenAI from "openai";
import { builtinModel } from "../../model/builtin.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { loadTextSide, type TextSide } from "../../model/text_side.ts";
import { createApp } from "../../routes/app.ts";
import { jsonPost, readStream, withServer } from "./helpers.ts";

type App = ReturnType<typeof createApp>;

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";

Deno.test("openai over the real engine", async (test) => {
  const dir = await builtinModel();
  const engine = startLocalEngine({ model: dir, queueLimit: 8 });
  try {
    await engine.ready;
    const text = await loadTextSide(dir);
    const app = createApp({ engine, text: Promise.resolve(text) });
    await test.step("a dialogue with the openai client", () => withServer(app, dialogue));
    await test.step("a seed repeats, streamed too", () => seeds(app));
    await test.step("echo scores a prompt as generating it does", () => echo(app, text));
    await test.step("logit_bias decides", () => bias(app, text));
    await test.step("every combination of sampling runs", () => combinations(app));
  } finally {
    await engine.close();
  }
});

async function dialogue(url: string): Promise<void> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: "user", content: "Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?" },
  ];
  for (let turn = 0; turn < 2; turn++) {
    let content = "";
    const stream = await client.chat.completions.create({
      model: "gpt-4o",
      messages,
      max_tokens: 12,
      seed: turn,
      stream: true,
    });
    for await (const { choices } of stream) content += choices[0]!.delta.content ?? "";
    assert.match(content, /^\S[^[\n]*$/);
    messages.push({ role: "assistant", content }, { role: "user", content: "Et ensuite ?" });
  }
}

// deno-lint-ignore no-explicit-any
async function json(app: App, path: string, body: object): Promise<any> {
  const response = await app.request(path, jsonPost(body));
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

async function seeds(app: App): Promise<void> {
  const body = { prompt: "- Bonjour !\n-", max_tokens: 24, temperature: 1.5, n: 2, seed: 12 };
  // deno-lint-ignore no-explicit-any
  const texts = (choices: any[]) => choices.map(({ text }) => text);
  const first = texts((await json(app, COMPLETIONS, body)).choices);
  assert.notEqual(first[0], first[1]);
  assert.deepEqual(texts((await json(app, COMPLETIONS, body)).choices), first);
  const streamed = ["", ""];
  const response = await app.request(COMPLETIONS, jsonPost({ ...body, stream: true }));
  for (const { choices: [{ index, text }] } of (await readStream(response)).chunks) {
    streamed[index] += text;
  }
  assert.deepEqual(streamed, first);
  const other = await json(app, COMPLETIONS, { ...body, seed: 13 });
  assert.notEqual(texts(other.choices)[0], first[0]);
}

/** The log-probabilities of an answer, and of the same tokens as part of a prompt. */
async function echo(app: App, { tokenizer }: TextSide): Promise<void> {
  const greedy = { temperature: 0, logprobs: 3, echo: true };
  const generated = await json(app, COMPLETIONS, {
    ...greedy,
    prompt: [700, 40, 900],
    max_tokens: 8,
  });
  const { logprobs } = generated.choices[0];
  const names = Array.from({ length: tokenizer.vocabSize }, (_, id) => {
    const [byte] = tokenizer.bytes(id);
    return byte! < 128 ? tokenizer.piece(id) : `bytes:\\x${byte!.toString(16)}`;
  });
  const prompt = logprobs.tokens.map((token: string) => names.indexOf(token));
  const again = await json(app, COMPLETIONS, { ...greedy, prompt, max_tokens: 0 });
  const scored = again.choices[0].logprobs;
  assert.deepEqual(scored.tokens, logprobs.tokens);
  assert.equal(scored.tokens.length, 11);
  assert.equal(again.usage.completion_tokens, 0);
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 0.02, `${a}, ${b}`);
  scored.token_logprobs.forEach((logprob: number | null, i: number) => {
    if (logprob === null) return assert.equal(logprobs.token_logprobs[i], null);
    near(logprob, logprobs.token_logprobs[i]);
    near(
      Math.max(...Object.values<number>(scored.top_logprobs[i])),
      Math.max(...Object.values<number>(logprobs.top_logprobs[i])),
    );
  });
}

async function bias(app: App, { tokenizer }: TextSide): Promise<void> {
  const [id] = tokenizer.encode("j") as [number];
  const word = tokenizer.piece(id);
  for (const temperature of [0, 1]) {
    const body = { prompt: "- Bonjour !\n-", max_tokens: 4, temperature, logprobs: 0 };
    const always = await json(app, COMPLETIONS, { ...body, logit_bias: { [id]: 100 } });
    assert.equal(always.choices[0].text, word.repeat(4));
    // What is told is the model's own probability.
    assert.ok(always.choices[0].logprobs.token_logprobs.some((logprob: number) => logprob < -1));
    const never = await json(app, COMPLETIONS, { ...body, logit_bias: { [id]: -100 } });
    assert.ok(!never.choices[0].logprobs.tokens.includes(word));
  }
}

async function combinations(app: App): Promise<void> {
  const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const penalty = fc.double({ min: -2, max: 2, noNaN: true });
  const body = fc.record({
    temperature: maybe(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2, noNaN: true }))),
    top_p: maybe(share),
    top_k: maybe(fc.oneof(fc.integer({ min: -1, max: 50 }), fc.constant(2 ** 31 - 1))),
    min_p: maybe(share),
    typical_p: maybe(fc.double({ min: 1e-9, max: 1, noNaN: true })),
    repetition_penalty: maybe(fc.double({ min: 0.01, max: 100, noNaN: true })),
    presence_penalty: maybe(penalty),
    frequency_penalty: maybe(penalty),
    seed: maybe(fc.maxSafeInteger()),
    logit_bias: maybe(fc.dictionary(
      fc.integer({ min: 0, max: 2047 }).map(String),
      fc.double({ min: -100, max: 100, noNaN: true }),
      { maxKeys: 5 },
    )),
    logprobs: maybe(fc.constantFrom(true, false)),
    stop: maybe(fc.constantFrom("a", ["e", "i"])),
    format: maybe(fc.constantFrom("dash", "intervenant", "named", "monologue")),
  });
  await fc.assert(
    fc.asyncProperty(body, async (sampling) => {
      const messages = [{ role: "user", content: "Ça va ?" }];
      const answer = await json(app, CHAT, { messages, max_tokens: 3, ...sampling });
      const [{ message, logprobs }] = answer.choices;
      assert.equal(typeof message.content, "string");
      for (const { logprob } of logprobs?.content ?? []) assert.ok(logprob <= 0);
    }),
    { numRuns: 25 },
  );
}
