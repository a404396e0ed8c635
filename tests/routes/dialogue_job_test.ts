/** What Claire's own routes refuse, and that they refuse nothing else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { CALL } from "./dialogue_client.ts";
import { testApp } from "./helpers.ts";

const PATHS = ["/v1/dialogues", "/v1/prompts", "/v1/prompts/parse"];

const LONG = "x".repeat(200_001);

const REFUSALS: [body: object, message: RegExp][] = [
  [{}, /^`turns`: /],
  [{ turns: [] }, /^`turns`: /],
  [{ turns: Array(1001).fill({ text: "a" }) }, /^`turns`: /],
  [{ turns: [{ text: 3 }] }, /^`turns\.0\.text`: .*string/],
  [{ turns: [{ speaker: "A" }] }, /^`turns\.0\.text`: /],
  [{ turns: [{ speaker: "A", text: "x", role: "user" }] }, /^`turns\.0`: .*"role"/],
  [{ turns: [{ text: LONG }] }, /^`turns\.0\.text`: .*200000/],
  [{ ...CALL, next: "x".repeat(101) }, /^`next`: .*100/],
  [{ ...CALL, format: "chat" }, /^`format`: .*"monologue"/],
  [{ ...CALL, presence_penalty: 1 }, /"presence_penalty"/],
  [{ ...CALL, temperature: -0.1 }, /^`temperature`: /],
  [{ ...CALL, temperature: 100.5 }, /^`temperature`: /],
  [{ ...CALL, top_p: 0 }, /^`top_p`: /],
  [{ ...CALL, top_p: 1.01 }, /^`top_p`: /],
  [{ ...CALL, top_k: -1 }, /^`top_k`: /],
  [{ ...CALL, top_k: 1.5 }, /^`top_k`: /],
  [{ ...CALL, min_p: 1.5 }, /^`min_p`: /],
  [{ ...CALL, typical_p: 0 }, /^`typical_p`: /],
  [{ ...CALL, repetition_penalty: 0 }, /^`repetition_penalty`: /],
  [{ ...CALL, repetition_penalty: 101 }, /^`repetition_penalty`: /],
  [{ ...CALL, seed: -1 }, /^`seed`: /],
  [{ ...CALL, seed: 2 ** 53 }, /^`seed`: /],
  [{ ...CALL, max_tokens: 0 }, /^`max_tokens`: /],
  [{ ...CALL, max_turns: 0 }, /^`max_turns`: /],
  [{ ...CALL, max_turns: 101 }, /^`max_turns`: /],
  [{ ...CALL, stream: "yes" }, /^`stream`: /],
  [{ ...CALL, max_tokens: 2017 }, /<= 2048\. Given: 32 tokens and 2017 `max_tokens`$/],
  [{ turns: [{ text: "x".repeat(2048) }] }, /<= 2048\. Given: 2048 tokens and 1 `max_tokens`$/],
  [{ turns: CALL.turns }, /^`next` should be given/],
  [{ ...CALL, format: "monologue" }, /at most 1 speaker, found 2$/],
  [{ ...CALL, format: "dash", next: "Camille" }, /^in the dash format speakers take turns/],
  [
    { ...CALL, format: "dash", until: "Zoé" },
    /^`until` should be one of the speakers \("Camille", "Dominique"\), found "Zoé"$/,
  ],
];

Deno.test("wrong values are told by name, in one sentence", async () => {
  const { post, engine } = testApp();
  for (const [body, expected] of REFUSALS) {
    const response = await post("/v1/dialogues", body);
    const text = await response.text();
    assert.equal(response.status, 422, text);
    const { error, error_type } = JSON.parse(text);
    assert.equal(error_type, "validation");
    assert.match(error.replace(/^Input validation error: /, ""), expected);
    assert.ok(error.length < 300);
  }
  assert.equal(engine.requests.length, 0);
});

Deno.test("together, turns may have as many characters as one", async () => {
  const { post } = testApp({}, { inputCharacters: 10 });
  const turns = [{ text: "123456" }, { text: "12345" }];
  const response = await post("/v1/prompts", { turns });
  assert.equal(response.status, 422);
  assert.match((await response.json()).error, /at most 10 characters, found 11$/);
});

Deno.test("an answer of the usual length shrinks to the room there is", async () => {
  const { post, engine } = testApp({ info: { maxPositions: 40 } });
  assert.equal((await post("/v1/dialogues", CALL)).status, 200);
  assert.equal(engine.requests[0]!.request.maxNewTokens, 8);
});

Deno.test("errors have one shape under /v1/ as elsewhere on these routes", async () => {
  const { app } = testApp();
  for (const path of PATHS) {
    const headers = { "content-type": "application/json" };
    const malformed = await app.request(path, { method: "POST", headers, body: '{"turns"' });
    assert.equal(malformed.status, 400);
    assert.equal((await malformed.json()).error_type, "syntax");
    const get = await app.request(path);
    assert.equal(get.status, 405);
    assert.equal(get.headers.get("allow"), "POST");
    assert.equal((await get.json()).error_type, "method_not_allowed");
    const plain = await app.request(path, { method: "POST", body: "a=b" });
    assert.equal(plain.status, 415);
    assert.equal((await plain.json()).error_type, "content_type");
  }
});

Deno.test("every combination of parameters either runs or is refused in a sentence", async () => {
  const { post } = testApp({ info: { maxPositions: 100 } });
  const number = fc.oneof(
    fc.double({ noNaN: true }),
    fc.integer({ min: -2, max: 60 }),
    fc.double({ min: 0, max: 2, noNaN: true }),
  );
  const numbers = [
    ...["temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty"],
    ...["seed", "max_tokens", "max_turns"],
  ];
  const name = fc.constantFrom("Camille", "Dominique", "Intervenant 1", "", null);
  const body = fc.record({
    turns: fc.array(
      fc.record({ speaker: name, text: fc.string({ unit: "binary", maxLength: 8 }) }, {
        requiredKeys: ["text"],
      }),
      { maxLength: 4 },
    ),
    format: fc.constantFrom("dash", "intervenant", "named", "monologue", "other"),
    next: name,
    until: name,
    start: fc.string({ maxLength: 4 }),
    stream: fc.boolean(),
    tidy: fc.boolean(),
  }, { requiredKeys: ["turns"] });
  const parameters = fc.dictionary(fc.constantFrom(...numbers), number, { maxKeys: 3 });
  const anything = fc.oneof(
    { weight: 9, arbitrary: fc.tuple(body, parameters).map(([a, b]): unknown => ({ ...a, ...b })) },
    { weight: 1, arbitrary: fc.jsonValue() as fc.Arbitrary<unknown> },
  );
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), anything, async (path, json) => {
      const response = await post(path, json);
      const text = await response.text();
      statuses.add(response.status);
      if (response.status === 200) return assert.doesNotMatch(text, /"error_type"/);
      assert.equal(response.status, 422, text);
      assert.equal(JSON.parse(text).error_type, "validation");
    }),
    { numRuns: 1500 },
  );
  assert.deepEqual([...statuses].sort(), [200, 422]);
});
