/**
 * Prompt lookup in the scheduler: guesses change how fast an answer comes, never what it is. A model
 * whose next token hangs on the two before repeats itself soon, so that guesses are made and hold.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type GenerateRequest, GREEDY } from "../../model/engine.ts";
import type { BlockPool } from "../../model/plan.ts";
import { Scheduler } from "../../model/scheduler.ts";
import { committedGolden } from "../golden.ts";
import { seededRandom } from "../helpers.ts";
import { answer, withEngine } from "./engine_rig.ts";
import { request } from "./fake_model.ts";

const VOCAB = 5;

function next([a = 0, b = 0]: readonly number[], seed: number): number {
  return (a * 7 + b * 3 + seed) % VOCAB;
}

function expected({ prompt, maxNewTokens, stopTokens }: GenerateRequest, seed: number): number[] {
  const tokens = [...prompt];
  while (tokens.length < prompt.length + maxNewTokens) {
    tokens.push(next(tokens.slice(-2), seed));
    if (stopTokens.includes(tokens.at(-1)!)) break;
  }
  return tokens.slice(prompt.length);
}

/** Runs requests to their ends; their answers, the steps it took, and what the scheduler counted. */
function run(requests: GenerateRequest[], guesses: number, seed = 1) {
  const answers = requests.map((): number[] => []);
  const caches: number[][] = [];
  const pool: BlockPool = {
    begin(slot) {
      caches[slot] = [];
      return 0;
    },
    keep() {},
    forget() {},
    release() {},
  };
  const scheduler = new Scheduler({ slots: 3, maxRows: 12, maxPicks: 9, guesses }, pool, {
    onEvent: (id, event) => event.type === "token" && answers[id]!.push(event.id),
    onInvalid: () => assert.fail("nothing is invalid here"),
  });
  requests.forEach((request, id) => scheduler.add(id, request));
  let steps = 0;
  for (let plan = scheduler.plan(3); plan; plan = scheduler.plan(3), steps++) {
    assert(plan.rows.length <= 12 && plan.picks.length <= 9);
    for (const { slot, position, token } of plan.rows) {
      assert(position <= caches[slot]!.length, "a position was left out");
      caches[slot]![position] = token;
    }
    const sample = (slot: number, position: number) => {
      const id = next(caches[slot]!.slice(Math.max(0, position - 1), position + 1), seed);
      return { id, logprob: 0, processedLogprob: 0, top: [], processedTop: [], invalid: false };
    };
    const sampled = plan.picks.map((pick) =>
      sample(plan.rows[pick]!.slot, plan.rows[pick]!.position)
    );
    let { slot, position } = plan.rows[0]!;
    for (const _ of plan.chain) {
      caches[slot]![++position] = sampled.at(-1)!.id;
      sampled.push(sample(slot, position));
    }
    scheduler.accept(sampled);
  }
  return { answers, steps, guesses: scheduler.guesses };
}

Deno.test("guesses that hold save steps, and change no answer", () => {
  const requests = [0, 1, 2].map((first) => request({ prompt: [first, 3, 1], maxNewTokens: 60 }));
  const without = run(requests, 0);
  const guessing = run(requests, 4);
  assert.deepEqual(without.answers, requests.map((one) => expected(one, 1)));
  assert.deepEqual(guessing.answers, without.answers);
  assert.deepEqual(without.guesses, { made: 0, right: 0 });
  assert(guessing.guesses.right > 60, `${guessing.guesses.right} guesses held`);
  assert(
    guessing.steps < 0.75 * without.steps,
    `${guessing.steps} steps, ${without.steps} without`,
  );
});

Deno.test("whatever is asked, guesses change no answer", () => {
  const requests = fc.array(
    fc.record({
      prompt: fc.array(fc.nat(VOCAB - 1), { minLength: 2, maxLength: 20 }),
      maxNewTokens: fc.integer({ min: 1, max: 30 }),
      stopTokens: fc.subarray([0, 3]),
      penalty: fc.constantFrom(1, 1.2),
    }).map(({ penalty, ...changes }) =>
      request({ ...changes, sampling: { ...GREEDY, repetitionPenalty: penalty } })
    ),
    { maxLength: 6 },
  );
  fc.assert(fc.property(requests, fc.integer({ min: 1, max: 8 }), fc.nat(4), (all, most, seed) => {
    assert.deepEqual(run(all, most, seed).answers, all.map((one) => expected(one, seed)));
  }));
});

Deno.test("where a penalty counts tokens nothing is guessed", () => {
  const sampling = { ...GREEDY, repetitionPenalty: 1.1 };
  const { guesses } = run([request({ prompt: [1, 2, 1, 2, 1, 2], maxNewTokens: 40, sampling })], 4);
  assert.deepEqual(guesses, { made: 0, right: 0 });
});

Deno.test("an engine that guesses says the same, bit for bit where it is deterministic", async () => {
  const random = seededRandom(3);
  const loop = Array.from({ length: 9 }, () => Math.floor(random() * 512));
  const asked = [0, 1.5].map((temperature) => ({
    prompt: [...loop, ...loop, ...loop.slice(0, 4)],
    maxNewTokens: 40,
    sampling: { ...GREEDY, temperature, seed: 5 },
  }));
  const model = committedGolden("q4-g64-act");
  const answers: unknown[][] = [];
  for (const promptLookup of [0, 4]) {
    await withEngine({ model, deterministic: true, promptLookup }, async (engine) => {
      const tokens = [];
      for (const one of asked) tokens.push((await answer(engine, one)).tokens);
      answers.push(tokens);
      const { guessesMade, guessesRight } = engine.stats();
      assert.equal(guessesMade > 0, promptLookup > 0);
      assert(guessesRight <= guessesMade);
    });
  }
  assert.deepEqual(answers[1], answers[0]);
});
