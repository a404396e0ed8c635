import assert from "node:assert/strict";
import fc from "fast-check";
import { planFor } from "../../../routes/bench/plan.ts";

Deno.test("plan: a model of 2048 positions is measured where the figures are quoted", () => {
  const plan = planFor(2048, false);
  assert.deepEqual(plan.contexts, [128, 1024, 1900]);
  assert.deepEqual(plan.lengths, [35, 512, 2047]);
  assert.equal(plan.httpPrompt, 35);
  assert(plan.runs >= 5);
  assert(plan.warmUp >= 500);
});

Deno.test("plan: contexts and prompts fit beside the answers, and none comes twice", () =>
  fc.assert(fc.property(fc.integer({ min: 130, max: 5000 }), fc.boolean(), (positions, short) => {
    const { contexts, lengths, tokens, httpPrompt } = planFor(positions, short);
    for (const context of [...contexts, httpPrompt]) {
      assert(context >= 1 && context + tokens <= positions);
    }
    for (const length of lengths) assert(length >= 1 && length + 1 <= positions);
    assert.equal(new Set(contexts).size, contexts.length);
    assert.equal(new Set(lengths).size, lengths.length);
  })));

Deno.test("plan: a model that holds no prompt beside an answer is refused", () => {
  assert.throws(() => planFor(128, false), /The bench needs 129 positions, the model has 128\./);
  assert.deepEqual(planFor(129, false).contexts, [1]);
});
