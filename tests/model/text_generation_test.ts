import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { byteTokenizerJson } from "../../model/byte_tokenizer.ts";
import { EngineError, GREEDY } from "../../model/engine.ts";
import {
  type EndTextEvent,
  generateText,
  type PromptTextEvent,
  type TextEvent,
  type TextRequest,
  type TokenTextEvent,
} from "../../model/text_generation.ts";
import { loadTokenizer } from "../../model/tokenizer.ts";
import { FakeEngine, type FakeEngineOptions } from "./fake_engine.ts";

const END_OF_TEXT = 11;
const folder = await Deno.makeTempDir();
await Deno.writeTextFile(join(folder, "tokenizer.json"), JSON.stringify(byteTokenizerJson(300)));
const tokenizer = await loadTokenizer(join(folder, "tokenizer.json"));
await Deno.remove(folder, { recursive: true });

function request(changes: Partial<TextRequest> = {}): TextRequest {
  return {
    prompt: tokenizer.encode("-"),
    maxNewTokens: 100,
    sampling: GREEDY,
    stop: [],
    keepStop: false,
    stopTokens: [END_OF_TEXT],
    topTokens: 0,
    promptLogprobs: false,
    ...changes,
  };
}

/** An engine that answers with this text, then the end-of-text token. */
function speaker(text: string, options: FakeEngineOptions = {}): FakeEngine {
  const info = { vocabSize: 300, ...options.info };
  return new FakeEngine({ script: [...tokenizer.encode(text), END_OF_TEXT], ...options, info });
}

async function collect(engine: FakeEngine, changes: Partial<TextRequest> = {}) {
  const events: TextEvent[] = [];
  for await (const event of generateText(engine, tokenizer, request(changes))) events.push(event);
  return {
    prompt: events.filter((event): event is PromptTextEvent => event.type === "prompt"),
    tokens: events.filter((event): event is TokenTextEvent => event.type === "token"),
    end: events.at(-1) as EndTextEvent,
  };
}

Deno.test("an answer up to the end-of-text token", async () => {
  const engine = speaker("né !");
  const { prompt, tokens, end } = await collect(engine);
  assert.deepEqual(prompt, []);
  assert.deepEqual(tokens.map((token) => token.index), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(tokens.map((token) => token.text), ["n", "", "é", " ", "!", "<|endoftext|>"]);
  assert.deepEqual(tokens.map((token) => token.safeText), ["n", "", "é", " ", "!", ""]);
  assert.deepEqual(tokens.map((token) => token.special), [false, false, false, false, false, true]);
  assert.deepEqual(end, {
    type: "end",
    text: "né !",
    reason: "eos_token",
    promptTokens: 1,
    generatedTokens: 6,
  });
  assert.deepEqual(engine.requests.map((entry) => entry.outcome), ["finished"]);
});

Deno.test("the engine gets the request without the text part", async () => {
  const engine = speaker("a");
  await collect(engine, { stop: ["x"], maxNewTokens: 7, topTokens: 2 });
  assert.deepEqual(engine.requests[0]!.request, {
    prompt: [12 + "-".charCodeAt(0)],
    maxNewTokens: 7,
    sampling: GREEDY,
    stopTokens: [END_OF_TEXT],
    topTokens: 2,
    promptLogprobs: false,
  });
});

Deno.test("an answer cut by its length, inside a character too", async () => {
  const words = await collect(speaker("abcdef"), { maxNewTokens: 3 });
  assert.equal(words.end.text, "abc");
  assert.equal(words.end.reason, "length");
  const accent = await collect(speaker("né"), { maxNewTokens: 2 });
  assert.deepEqual(accent.tokens.map((token) => token.text), ["n", "\ufffd"]);
  assert.equal(accent.end.text, "n\ufffd");
});

Deno.test("the last allowed token ends by length, whatever it is", async () => {
  const atEnd = await collect(speaker("ab"), { maxNewTokens: 3 });
  assert.equal(atEnd.end.reason, "length");
  assert.equal(atEnd.end.text, "ab");
  const atStop = await collect(speaker("ab."), { maxNewTokens: 3, stop: ["b."] });
  assert.equal(atStop.end.reason, "length");
  assert.equal(atStop.end.text, "a");
  assert.equal(atStop.end.stop, "b.");
});

Deno.test("a stop string, cut off", async () => {
  const engine = speaker("Oui.\n[Moi:] Non");
  const { tokens, end } = await collect(engine, { stop: ["\n[Toi", "\n[Moi"] });
  assert.deepEqual(end, {
    type: "end",
    text: "Oui.",
    reason: "stop_sequence",
    stop: "\n[Moi",
    promptTokens: 1,
    generatedTokens: 9,
  });
  assert.equal(tokens.map((token) => token.safeText).join(""), "Oui.");
  assert.equal(tokens.map((token) => token.text).join(""), "Oui.\n[Moi");
  assert.deepEqual(engine.requests.map(({ outcome, tokens }) => [outcome, tokens]), [
    ["cancelled", 9],
  ]);
});

Deno.test("a stop string, kept", async () => {
  const { tokens, end } = await collect(speaker("Oui.\nNon"), { stop: ["\n"], keepStop: true });
  assert.equal(end.text, "Oui.\n");
  assert.equal(end.reason, "stop_sequence");
  assert.equal(tokens.map((token) => token.safeText).join(""), "Oui.\n");
});

Deno.test("a stop string inside a token: what follows it is not shown", async () => {
  // Tokens above the bytes are whole words: 268 is " ba", 269 " be".
  const script = [268, 269, 270];
  const trimmed = await collect(new FakeEngine({ script, info: { vocabSize: 300 } }), {
    stop: ["a b"],
  });
  assert.equal(trimmed.end.text, " b");
  assert.deepEqual(trimmed.tokens.map((token) => token.text), [" ba", " b"]);
  const kept = await collect(new FakeEngine({ script, info: { vocabSize: 300 } }), {
    stop: ["a b"],
    keepStop: true,
  });
  assert.equal(kept.end.text, " ba b");
  assert.equal(kept.tokens.map((token) => token.safeText).join(""), " ba b");
});

Deno.test("text held back for a stop string that does not come appears at the end", async () => {
  const { tokens, end } = await collect(speaker("a\n["), { stop: ["\n[Moi"] });
  assert.deepEqual(tokens.map((token) => token.safeText), ["a", "", "", "\n["]);
  assert.deepEqual(tokens.map((token) => token.text), ["a", "\n", "[", "<|endoftext|>"]);
  assert.equal(end.text, "a\n[");
  assert.equal(end.stop, undefined);
});

Deno.test("the engine is left before the stop string's event is handed out", async () => {
  const engine = speaker("a.b");
  for await (const event of generateText(engine, tokenizer, request({ stop: ["."] }))) {
    if (event.type === "token") assert.equal(engine.cancellations, event.index === 2 ? 1 : 0);
  }
  assert.equal(engine.running, 0);
});

Deno.test("special tokens inside an answer are not part of its text", async () => {
  const script = [12 + 97, 6, 12 + 98, END_OF_TEXT];
  const { tokens, end } = await collect(new FakeEngine({ script }), { stop: ["QUESTION"] });
  assert.deepEqual(tokens.map((token) => token.text), ["a", ">>QUESTION<<", "b", "<|endoftext|>"]);
  assert.equal(end.text, "ab");
});

Deno.test("log-probabilities and alternatives come with their text", async () => {
  const script = [
    {
      id: 12 + 97,
      logprob: -1,
      processedLogprob: -0.25,
      top: [{ id: END_OF_TEXT, logprob: -0.5 }, { id: 12 + 0xc3, logprob: -1 }],
      processedTop: [{ id: 12 + 97, logprob: -0.25 }],
    },
  ];
  const { tokens, prompt } = await collect(new FakeEngine({ script }), {
    prompt: tokenizer.encode("é!"),
    promptLogprobs: true,
    maxNewTokens: 1,
    topTokens: 2,
  });
  assert.deepEqual(tokens[0], {
    type: "token",
    index: 1,
    id: 109,
    text: "a",
    special: false,
    logprob: -1,
    processedLogprob: -0.25,
    top: [
      { id: 11, logprob: -0.5, text: "<|endoftext|>", special: true },
      { id: 207, logprob: -1, text: "\ufffd", special: false },
    ],
    processedTop: [{ id: 109, logprob: -0.25, text: "a", special: false }],
    safeText: "a",
  });
  assert.deepEqual(prompt, [{
    type: "prompt",
    tokens: [
      { id: 207, text: "\ufffd", logprob: null, top: [] },
      {
        id: 181,
        text: "\ufffd",
        logprob: -0.25,
        top: [
          { id: 181, logprob: -0.25, text: "\ufffd", special: false },
          { id: 182, logprob: -1.25, text: "\ufffd", special: false },
        ],
      },
      {
        id: 45,
        text: "!",
        logprob: -0.5,
        top: [
          { id: 45, logprob: -0.5, text: "!", special: false },
          { id: 46, logprob: -1.5, text: '"', special: false },
        ],
      },
    ],
  }]);
});

Deno.test("what the engine throws is passed on", async () => {
  const error = new EngineError("lost", "The GPU was lost.");
  await assert.rejects(collect(speaker("abc", { failAfter: 2, error })), error);
  await assert.rejects(
    collect(speaker("abc", { state: "loading" })),
    (error) => error instanceof EngineError && error.code === "loading",
  );
});

Deno.test("an engine that ends too soon has failed", async () => {
  const engine = speaker("abc");
  engine.generate = async function* () {};
  await assert.rejects(
    collect(engine),
    (error) => error instanceof EngineError && error.code === "failed",
  );
});

Deno.test("aborting the signal cancels the request and throws its reason", async () => {
  const engine = speaker("abcdef", { delay: 1 });
  const abort = new AbortController();
  const shown: string[] = [];
  await assert.rejects(async () => {
    for await (const event of generateText(engine, tokenizer, request(), abort.signal)) {
      if (event.type === "token") shown.push(event.text);
      if (shown.length === 2) abort.abort();
    }
  }, { name: "AbortError" });
  assert.deepEqual(shown, ["a", "b"]);
  assert.equal(engine.cancellations, 1);
});

Deno.test("an engine that ends quietly when aborted counts as aborted", async () => {
  const engine = speaker("abc");
  engine.generate = async function* () {};
  const events = generateText(engine, tokenizer, request(), AbortSignal.abort());
  await assert.rejects(() => events.next(), { name: "AbortError" });
});

Deno.test("leaving the loop cancels the request", async () => {
  const engine = speaker("abcdef");
  for await (const _ of generateText(engine, tokenizer, request())) break;
  assert.deepEqual(engine.requests.map(({ outcome, tokens }) => [outcome, tokens]), [
    ["cancelled", 1],
  ]);
});

Deno.test("the pieces shown are the answer, whatever the tokens and the stop strings", async () => {
  const ids = fc.array(
    fc.oneof(
      fc.constantFrom(...tokenizer.encode("ab \né")),
      fc.integer({ min: 0, max: 299 }).filter((id) => id !== END_OF_TEXT),
    ),
    { minLength: 1, maxLength: 30 },
  );
  const stop = fc.array(
    fc.string({ unit: fc.constantFrom("a", "b", " ", "\n", "é"), minLength: 1, maxLength: 3 }),
    { maxLength: 3 },
  );
  await fc.assert(
    fc.asyncProperty(ids, stop, fc.boolean(), async (ids, stop, keepStop) => {
      const engine = new FakeEngine({ script: ids, info: { vocabSize: 300 } });
      const changes = { stop, keepStop, maxNewTokens: ids.length };
      const { tokens, end } = await collect(engine, changes);
      assert.equal(tokens.map((token) => token.safeText).join(""), end.text);
      const whole = tokenizer.decode(ids, { skipSpecial: true });
      assert.ok(whole.startsWith(end.text));
      if (end.stop === undefined) {
        assert.equal(end.text, whole);
        assert.ok(!stop.some((stop) => whole.includes(stop)));
      } else {
        assert.ok(whole.startsWith(keepStop ? end.text : end.text + end.stop));
        assert.ok(!keepStop || end.text.endsWith(end.stop));
      }
      const plain = tokens.filter((token) => !token.special).map((token) => token.text).join("");
      if (end.stop !== undefined) assert.ok(plain.endsWith(end.stop));
    }),
    { numRuns: 500 },
  );
});
