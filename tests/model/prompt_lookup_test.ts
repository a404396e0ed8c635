import assert from "node:assert/strict";
import fc from "fast-check";
import { GREEDY } from "../../model/engine.ts";
import { canBeGuessed, lookUp } from "../../model/prompt_lookup.ts";

Deno.test("a guess is what followed the last three tokens, or else the last two, the latest time", () => {
  assert.deepEqual(lookUp([1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
  assert.deepEqual(lookUp([1, 2, 3, 4, 5, 9, 1, 2, 3], 9), [4, 5, 9, 1, 2, 3]);
  // Three that agree before two that are nearer.
  assert.deepEqual(lookUp([1, 2, 3, 4, 8, 2, 3, 5, 1, 2, 3], 1), [4]);
  assert.deepEqual(lookUp([7, 2, 3, 4, 8, 2, 3, 5, 1, 2, 3], 1), [5]);
  // It may run into the tokens that it repeats.
  assert.deepEqual(lookUp([6, 6, 6, 6], 3), [6]);
});

Deno.test("there is no guess where the last tokens are new, or none is wanted", () => {
  assert.deepEqual(lookUp([1, 2, 3, 4, 3], 4), []);
  assert.deepEqual(lookUp([], 4), []);
  assert.deepEqual(lookUp([1], 4), []);
  assert.deepEqual(lookUp([1, 2, 1, 2], 0), []);
});

Deno.test("whatever is guessed stood behind a repetition of the last two tokens", () => {
  const tokens = fc.array(fc.nat(3), { maxLength: 40 });
  fc.assert(fc.property(tokens, fc.nat(6), (tokens, most) => {
    const guess = lookUp(tokens, most);
    assert(guess.length <= most);
    if (guess.length === 0) return;
    const wanted = [...tokens.slice(-2), ...guess].join();
    const found = tokens.some((_, i) => tokens.slice(i, i + 2 + guess.length).join() === wanted);
    assert(found, `${guess} after ${tokens}`);
  }));
});

Deno.test("penalties rule guesses out", () => {
  assert(canBeGuessed(GREEDY));
  assert(canBeGuessed({ ...GREEDY, temperature: 0.7, topP: 0.9 }));
  for (const name of ["repetitionPenalty", "frequencyPenalty", "presencePenalty"]) {
    assert(!canBeGuessed({ ...GREEDY, [name]: 1.1 }), name);
  }
});
