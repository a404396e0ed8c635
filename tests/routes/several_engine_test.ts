/**
 * Several answers to one request by the real engine: they say what each says alone, compute their
 * prompt once, and are all freed when their client leaves.
 */
import assert from "node:assert/strict";
import { builtinModel } from "../../model/builtin.ts";
import { type Engine, GREEDY } from "../../model/engine.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { loadTextSide, type TextSide } from "../../model/text_side.ts";
import { generateText } from "../../model/text_generation.ts";
import { createApp } from "../../routes/app.ts";
import { jsonPost, readStream, until, withServer } from "./helpers.ts";

type App = ReturnType<typeof createApp>;

const PROMPT = "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n".repeat(4) + "-";
const TOKENS = 6;
const SLOTS = 3;
const ANSWERS = 4;
/** Of a request with the seed 7; worked out by another program. */
const SEEDS = [7, 8793187370125032, 8579175485509065, 8365163600893098];

Deno.test("several answers by the real engine", async (test) => {
  const dir = await builtinModel();
  // More answers than there are places: the fourth waits for one.
  const engine = startLocalEngine({ model: dir, slots: SLOTS, queueLimit: 1, deterministic: true });
  try {
    await engine.ready;
    const text = await loadTextSide(dir);
    const app = createApp({ engine, text: Promise.resolve(text) });
    await test.step("the same as alone, the prompt computed once", () => alike(engine, app, text));
    await test.step("a client that leaves frees all of them", () => leaving(engine, app));
  } finally {
    await engine.close();
  }
});

async function alike(engine: Engine, app: App, { tokenizer }: TextSide): Promise<void> {
  const prompt = tokenizer.encode(PROMPT);
  assert(prompt.length > 64);
  const body = { prompt: PROMPT, n: ANSWERS, seed: 7, temperature: 1.2, max_tokens: TOKENS };
  const before = engine.stats().rows;
  const response = await app.request("/v1/completions", jsonPost(body));
  const { choices, usage } = await response.json();
  const rows = engine.stats().rows - before;
  // Beyond the prompt and the answers, each but the first computes what no full block of 32 holds.
  assert(rows <= prompt.length + ANSWERS * (TOKENS + 32), `${rows} rows`);
  assert.equal(usage.completion_tokens, ANSWERS * TOKENS);

  const alone: string[] = [];
  for (const seed of SEEDS) {
    const request = {
      prompt,
      maxNewTokens: TOKENS,
      sampling: { ...GREEDY, temperature: 1.2, seed },
      stop: [],
      keepStop: false,
      stopTokens: [],
      topTokens: 0,
      promptLogprobs: false,
      // Nothing of what was computed together is taken over.
      cacheScope: `seed ${seed}`,
    };
    for await (const event of generateText(engine, tokenizer, request)) {
      if (event.type === "end") alone.push(event.text);
    }
  }
  const together = choices.map(({ text }: { text: string }) => text);
  assert.deepEqual(together, alone);
  assert.equal(new Set(alone).size, ANSWERS);

  const stream = await app.request("/v1/completions", jsonPost({ ...body, stream: true }));
  const streamed = alone.map(() => "");
  for (const { choices: [{ index, text }] } of (await readStream(stream)).chunks) {
    streamed[index] += text;
  }
  assert.deepEqual(streamed, alone);
}

async function leaving(engine: Engine, app: App): Promise<void> {
  const body = { prompt: "- Oui ?\n-", n: ANSWERS, seed: 1, max_tokens: 300 };
  await withServer(app, async (url) => {
    const leave = new AbortController();
    const answer = fetch(`${url}/v1/completions`, jsonPost(body, leave.signal));
    await until(() => engine.stats().running === SLOTS);
    leave.abort();
    await assert.rejects(answer, { name: "AbortError" });
    await until(() => engine.stats().running === 0);
    const { waiting, blocksUsed } = engine.stats();
    assert.deepEqual([waiting, blocksUsed], [0, 0]);
  });
}
