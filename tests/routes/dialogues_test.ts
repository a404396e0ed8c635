/** Claire's own routes: whole answers, streams, and what the engine is asked for. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError } from "../../model/engine.ts";
import { anyName, anyText, casting } from "../model/prompt/hostile.ts";
import { CALL, readNamed, turnsOf } from "./dialogue_client.ts";
import {
  END_OF_TEXT,
  FOREVER,
  ids,
  jsonPost,
  NOTHING_CACHED,
  testApp,
  until,
  withServer,
} from "./helpers.ts";

const PROMPT = "[Camille:] Ça va ?\n[Dominique:]";

Deno.test("three fields give an answer", async () => {
  const { post, engine } = testApp({ script: ids(" Oui, merci.\nEt toi ?") });
  const response = await post("/v1/dialogues", CALL);
  assert.equal(response.status, 200);
  const { id, created, seed, ...answer } = await response.json();
  assert.deepEqual(answer, {
    object: "dialogue",
    model: "fake",
    format: "named",
    turns: [{ speaker: "Dominique", text: "Oui, merci." }],
    finish_reason: "turn",
    usage: { prompt_tokens: 32, completion_tokens: 13, total_tokens: 45, ...NOTHING_CACHED },
    prompt: PROMPT,
  });
  assert.equal(id, `dialogue-${response.headers.get("x-request-id")}`);
  assert.ok(Math.abs(created - Date.now() / 1000) < 60);
  const { request } = engine.requests[0]!;
  assert.deepEqual(request.prompt, ids(PROMPT));
  assert.equal(request.maxNewTokens, 200);
  assert.deepEqual(request.stopTokens, [END_OF_TEXT]);
  const { temperature, topK, topP, minP, typicalP, repetitionPenalty } = request.sampling;
  assert.deepEqual(
    { temperature, topK, topP, minP, typicalP, repetitionPenalty },
    { temperature: 1, topK: 10, topP: 0.99, minP: 0, typicalP: 1, repetitionPenalty: 1.1 },
  );
  assert.equal(request.sampling.seed, seed);
  // The turn was over, so the engine was left.
  assert.equal(engine.requests[0]!.tokens, 13);
});

Deno.test("every sampling parameter reaches the engine", async () => {
  const { post, engine } = testApp();
  const parameters = {
    temperature: 0.5,
    top_k: 3,
    top_p: 0.25,
    min_p: 0.125,
    typical_p: 0.75,
    repetition_penalty: 1.5,
    seed: 7,
    max_tokens: 9,
  };
  const answer = await (await post("/v1/dialogues", { ...CALL, ...parameters })).json();
  assert.equal(answer.seed, 7);
  const { sampling, maxNewTokens } = engine.requests[0]!.request;
  assert.equal(maxNewTokens, 9);
  const { temperature, topK, topP, minP, typicalP, repetitionPenalty, seed } = sampling;
  assert.deepEqual([temperature, topK, topP, minP, typicalP], [0.5, 3, 0.25, 0.125, 0.75]);
  assert.deepEqual([repetitionPenalty, seed], [1.5, 7]);
});

Deno.test("null is as good as absent, and temperature 0 draws nothing", async () => {
  const { post, engine } = testApp();
  const nothing = { next: null, start: null, seed: null, top_k: null, until: null, stream: null };
  const { turns } = CALL;
  const response = await post("/v1/dialogues", {
    ...nothing,
    turns: turns.map(({ text }) => ({ text, speaker: null })),
    format: "dash",
    temperature: 0,
  });
  const answer = await response.json();
  assert.equal(answer.prompt, "- Ça va ?\n-");
  assert.equal(answer.seed, null);
  assert.equal(engine.requests[0]!.request.sampling.temperature, 0);
});

Deno.test("a stream has named events, and ends with what a whole answer has", async () => {
  const { post, log } = testApp({ script: ids(" Oh !\n") });
  const response = await post("/v1/dialogues", { ...CALL, seed: 3, stream: true });
  assert.equal(
    await response.text(),
    'event: turn_start\ndata: {"speaker":"Dominique"}\n\n' +
      'event: text\ndata: {"speaker":"Dominique","delta":"O"}\n\n' +
      'event: text\ndata: {"speaker":"Dominique","delta":"h"}\n\n' +
      'event: text\ndata: {"speaker":"Dominique","delta":" !"}\n\n' +
      'event: turn_end\ndata: {"speaker":"Dominique"}\n\n' +
      'event: done\ndata: {"finish_reason":"turn","usage":{"prompt_tokens":32,' +
      '"completion_tokens":6,"total_tokens":38,' +
      '"prompt_tokens_details":{"cached_tokens":0}},' +
      `"prompt":${JSON.stringify(PROMPT)},"seed":3}\n\n`,
  );
  await until(() => log.length === 1);
  const [{ route, status, prompt_tokens, tokens, error }] = log as [typeof log[0]];
  assert.deepEqual([route, status, prompt_tokens, tokens], ["/v1/dialogues", 200, 32, 6]);
  assert.equal(error, undefined);
  assert.doesNotMatch(JSON.stringify(log), /Camille|Oh/);
});

Deno.test("why an answer ended", async () => {
  const { post, engine } = testApp();
  const ends = async (text: string, more: object = {}) => {
    engine.script = [...ids(text), END_OF_TEXT];
    const body = { turns: CALL.turns, format: "named", next: "Dominique", ...more };
    const { turns, finish_reason } = await (await post("/v1/dialogues", body)).json();
    return [finish_reason, turns.map(({ text }: { text: string }) => text).join("|")];
  };
  assert.deepEqual(await ends(" Oui.[Camille:] Non"), ["turn", "Oui."]);
  assert.deepEqual(await ends(" Oui."), ["eos", "Oui."]);
  const dialogue = " Oui.\n[Camille:] Non.\n[Dominique:] Si.\n[Zoé:] Ah.";
  assert.deepEqual(await ends(dialogue, { max_turns: 3 }), ["turns", "Oui.|Non.|Si."]);
  assert.deepEqual(await ends(dialogue, { max_turns: 9 }), ["eos", "Oui.|Non.|Si.|Ah."]);
  assert.deepEqual(await ends(dialogue, { until: "Zoé" }), ["until", "Oui.|Non.|Si."]);
  assert.deepEqual(await ends(dialogue, { until: " Camille\n" }), ["until", "Oui."]);
  const long = { max_tokens: 12 };
  assert.deepEqual(await ends(" Oui. Je pense", long), ["length", "Oui."]);
  assert.deepEqual(await ends(" Oui. Je pense", { ...long, tidy: false }), [
    "length",
    "Oui. Je pen",
  ]);
});

Deno.test("two speakers go on by themselves, under the names they were given", async () => {
  const { post } = testApp({ script: ids(" Un.\n- Deux.\n- Trois.\n- Quatre.\n") });
  const body = { turns: CALL.turns, format: "dash", next: "Dominique", max_turns: 3 };
  const { turns, prompt } = await (await post("/v1/dialogues", body)).json();
  assert.equal(prompt, "- Ça va ?\n-");
  assert.deepEqual(turns, [
    { speaker: "Dominique", text: "Un." },
    { speaker: "Camille", text: "Deux." },
    { speaker: "Dominique", text: "Trois." },
  ]);
});

Deno.test("the beginning of the answer is in the prompt and in the answer", async () => {
  const { post } = testApp({ script: ids(" je cuisine.\n") });
  const body = { ...CALL, start: "Bonjour\u00a0Camille,\n" };
  const { turns, prompt } = await (await post("/v1/dialogues", body)).json();
  assert.equal(prompt, "[Camille:] Ça va ?\n[Dominique:] Bonjour Camille,");
  assert.deepEqual(turns, [{ speaker: "Dominique", text: "Bonjour Camille, je cuisine." }]);
});

Deno.test("turns are normalised unless told otherwise", async () => {
  const { post } = testApp();
  const promptOf = async (more: object) => {
    const turns = [{ speaker: "Camille", text: "L’été… n’est « là »\u202f?" }];
    const response = await post("/v1/prompts", { turns, next: "Jo", ...more });
    return (await response.json()).prompt;
  };
  assert.equal(await promptOf({}), `[Camille:] L'été... n'est "là" ?\n[Jo:]`);
  assert.equal(
    await promptOf({ normalise: false }),
    "[Camille:] L’été… n’est « là »\u202f?\n[Jo:]",
  );
  assert.equal(await promptOf({ asr: true }), `[Camille:] l'été n'est "là"\n[Jo:]`);
});

Deno.test("POST /v1/prompts", async () => {
  const { post, engine } = testApp();
  const response = await post("/v1/prompts", {
    turns: [{ speaker: "Camille", text: "Ça va ?" }, { speaker: "Zoé", text: "[Oui]" }],
    format: "intervenant",
    next: "Camille",
    start: "Bien",
  });
  assert.deepEqual(await response.json(), {
    prompt: "[Intervenant 1:] Ça va ?\n[Intervenant 2:] (Oui)\n[Intervenant 1:] Bien",
    format: "intervenant",
    speakers: ["Camille", "Zoé"],
    names: { "Intervenant 1": "Camille", "Intervenant 2": "Zoé" },
    next: "Camille",
    stop: ["\n", "["],
    prompt_tokens: 70,
  });
  assert.equal(engine.requests.length, 0);
});

Deno.test("POST /v1/prompts/parse, even while the model loads", async () => {
  const { post } = testApp({ state: "loading" });
  const prompt = "[speaker001:] Ça va\u00a0?\r\n[speaker002:]";
  const plain = await (await post("/v1/prompts/parse", { prompt })).json();
  assert.deepEqual(plain, {
    format: "named",
    speakers: ["speaker001", "speaker002"],
    turns: [{ speaker: "speaker001", text: "Ça va\u00a0?" }],
    next: "speaker002",
  });
  const normal = await (await post("/v1/prompts/parse", { prompt, normalise: true })).json();
  assert.deepEqual(normal, {
    format: "intervenant",
    speakers: ["Intervenant 1", "Intervenant 2"],
    turns: [{ speaker: "Intervenant 1", text: "Ça va ?" }],
    next: "Intervenant 2",
  });
});

Deno.test("no text of a turn changes who speaks, over HTTP", async () => {
  const { post } = testApp();
  const cases = casting(anyName).chain((cast) =>
    fc.tuple(
      fc.constant(cast),
      fc.array(anyText, { minLength: cast.speakers.length, maxLength: cast.speakers.length }),
      fc.record({ normalise: fc.boolean(), asr: fc.boolean() }),
    )
  );
  const parsed = async (body: object) => {
    const { prompt } = await (await post("/v1/prompts", body)).json();
    const { turns, ...rest } = await (await post("/v1/prompts/parse", { prompt })).json();
    return { ...rest, turns: turns.map(({ speaker }: { speaker: string }) => speaker) };
  };
  await fc.assert(
    fc.asyncProperty(cases, async ([{ format, speakers, next }, texts, options]) => {
      const body = (text: (i: number) => string) => ({
        turns: speakers.map((speaker, i) => ({ speaker, text: text(i) })),
        format,
        next,
        ...options,
      });
      assert.deepEqual(await parsed(body((i) => texts[i]!)), await parsed(body(() => "oui")));
    }),
    { numRuns: 500 },
  );
});

Deno.test("a stream tells the same as a whole answer", async () => {
  const { post, engine } = testApp();
  const spoken = fc.array(
    fc.constantFrom(" Oui.", "\n", "[Camille:]", "[", "- Non !", " M. Petit ?", "…", " é", "😀"),
    { minLength: 1, maxLength: 12 },
  ).map((parts) => ids(parts.join("")));
  const options = fc.record({
    format: fc.constantFrom("named", "intervenant", "dash", "monologue"),
    start: fc.constantFrom("", "Bonjour.", "Alors"),
    max_tokens: fc.integer({ min: 1, max: 40 }),
    max_turns: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    until: fc.option(fc.constantFrom("Camille", "Dominique"), { nil: undefined }),
    tidy: fc.option(fc.boolean(), { nil: undefined }),
  }, { requiredKeys: ["format"] });
  await fc.assert(
    fc.asyncProperty(spoken, options, async (script, given) => {
      engine.script = script;
      const alone = given.format === "monologue" && { next: "Camille", until: undefined };
      const body = { ...CALL, seed: 1, ...given, ...alone };
      const whole = await (await post("/v1/dialogues", body)).json();
      const events = await readNamed(await post("/v1/dialogues", { ...body, stream: true }));
      assert.deepEqual(turnsOf(events), whole.turns);
      const { finish_reason, usage, prompt, seed } = whole;
      assert.deepEqual(events.at(-1), {
        event: "done",
        data: { finish_reason, usage, prompt, seed },
      });
    }),
    { numRuns: 500 },
  );
});

Deno.test("a character that is spread over tokens arrives whole", async () => {
  const { post } = testApp({ script: ids(" Été 😀 œuf\n") });
  const events = await readNamed(await post("/v1/dialogues", { ...CALL, stream: true }));
  assert.deepEqual(turnsOf(events), [{ speaker: "Dominique", text: "Été 😀 œuf" }]);
  assert.doesNotMatch(JSON.stringify(events), /\ufffd/);
});

Deno.test("an error in the middle of a stream is an event", async () => {
  const error = new EngineError("failed", "vkQueueSubmit: -4");
  const { post, engine } = testApp({ script: ids(" Oui"), failAfter: 4, error });
  const events = await readNamed(await post("/v1/dialogues", { ...CALL, stream: true }));
  assert.deepEqual(events.at(-1), {
    event: "error",
    data: {
      error: "Request failed during generation: the GPU reported an error",
      error_type: "generation",
    },
  });
  // Before the first event, it has a status of its own.
  engine.failAfter = 0;
  assert.equal((await post("/v1/dialogues", { ...CALL, stream: true })).status, 424);
  engine.error = new EngineError("busy", "full");
  const busy = await post("/v1/dialogues", { ...CALL, stream: true });
  assert.equal(busy.status, 429);
  assert.deepEqual(await busy.json(), { error: "Model is overloaded", error_type: "overloaded" });
});

Deno.test("a client that leaves ends its generation, streamed or not", async () => {
  for (const stream of [true, false]) {
    const { app, engine, log } = testApp({ delay: stream ? 2 : FOREVER, script: ids(" oui") });
    await withServer(app, async (url) => {
      const leave = new AbortController();
      const body = { ...CALL, max_tokens: 1000, stream };
      const answer = fetch(`${url}/v1/dialogues`, jsonPost(body, leave.signal));
      if (stream) await (await answer).body!.getReader().read();
      else await until(() => engine.running === 1);
      leave.abort();
      await answer.catch(() => {});
      await until(() => engine.cancellations === 1 && log.length === 1);
      assert.ok(engine.requests[0]!.tokens < 1000);
      assert.equal(log[0]!.error, "cancelled");
      assert.equal(log[0]!.status, stream ? 200 : 499);
    });
  }
});
