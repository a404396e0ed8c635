/** What holds for every simulation: nothing is lost, nothing is faster than it can be. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { POLICIES } from "../../../model/simulate/policies.ts";
import type { Outcome } from "../../../model/simulate/simulation.ts";
import { summarise } from "../../../model/simulate/summary.ts";
import { play, type Scenario } from "./scenario.ts";

const BLOCK_TOKENS = 32;
const CONTEXT = 512;

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  sidecars: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(),
  policy: fc.constantFrom(...POLICIES),
  leastLoad: fc.integer({ min: 1, max: 20 }),
  model: fc.record({
    slots: fc.integer({ min: 1, max: 6 }),
    blocks: fc.integer({ min: CONTEXT / BLOCK_TOKENS, max: 100 }),
    prefillRate: fc.constant(() => 500),
    mixed: fc.constant((sequences: number) => ({ answer: 40 / sequences, prompt: 300 })),
    decodeRate: fc.constant((sequences: number) => 100 * Math.sqrt(sequences)),
  }),
  workload: fc.record({
    rate: fc.double({ min: 0.1, max: 10, noNaN: true }),
    turns: fc.integer({ min: 1, max: 6 }),
    thinkSeconds: fc.double({ min: 0.1, max: 20, noNaN: true }),
    openingTokens: fc.nat(100),
    turnTokens: fc.integer({ min: 1, max: 100 }),
    answerTokens: fc.integer({ min: 1, max: 100 }),
    lengths: fc.constantFrom("fixed" as const, "exponential" as const),
    contextTokens: fc.constant(CONTEXT),
  }),
  seconds: fc.constant(100),
  death: fc.option(
    fc.record({
      at: fc.double({ min: 0, max: 50, noNaN: true }),
      backAt: fc.option(fc.double({ min: 50, max: 99, noNaN: true }), { nil: undefined }),
    }),
    { nil: undefined },
  ),
});

Deno.test("turns asked are finished, broken, refused or in flight; deaths lose none", () => {
  fc.assert(
    fc.property(scenarios, (scenario) => {
      const { counts, answered, busy } = play(scenario);
      const { asked, finished, broken, refused, inFlight, retried } = counts;
      assert.equal(asked, finished + broken + refused + inFlight);
      assert.equal(answered.length, finished);
      if (!scenario.death) assert.deepEqual([broken, refused, retried], [0, 0, 0]);
      if (scenario.sidecars! > 1) assert.equal(refused, 0);
      for (const share of busy) assert(share >= 0 && share <= 1 + 1e-9, `${share}`);
    }),
    { numRuns: 200 },
  );
});

Deno.test("no turn is faster than alone, nor has more cached than it knows", () => {
  fc.assert(
    fc.property(scenarios, (scenario) => {
      for (const turn of play(scenario).answered) {
        const { promptTokens, knownTokens, cachedTokens, answerTokens } = turn;
        assert(cachedTokens <= knownTokens && cachedTokens < promptTokens);
        assert(cachedTokens % BLOCK_TOKENS === 0 && promptTokens + answerTokens <= CONTEXT);
        const fastest = (promptTokens - cachedTokens) / 500;
        assert(turn.firstTokenAt - turn.askedAt >= fastest - 1e-9);
        // An answer shares 100 √n tokens/s with n - 1 others: alone it has the most.
        assert(turn.finishedAt - turn.firstTokenAt >= (answerTokens - 1) / 100 - 1e-6);
      }
    }),
    { numRuns: 100 },
  );
});

Deno.test("equal seeds give equal runs, and every policy gets the same dialogues", () => {
  const scenario = { workload: { rate: 2, turns: 3 }, sidecars: 3, seconds: 200 } as const;
  assert.deepEqual(play(scenario), play(scenario));
  assert.notDeepEqual(play(scenario), play({ ...scenario, seed: 2 }));
  const lengths = ({ answered }: Outcome) =>
    new Map(
      answered.filter(({ knownTokens }) => knownTokens === 0)
        .map(({ key, promptTokens, answerTokens }) => [key, [promptTokens, answerTokens]]),
    );
  const workload = { ...scenario.workload, lengths: "exponential" as const, answerTokens: 5 };
  const [one, other] = (["random", "least-loaded"] as const).map((policy) =>
    lengths(play({ ...scenario, workload, policy }))
  );
  for (const [key, found] of one!) if (other!.has(key)) assert.deepEqual(other!.get(key), found);
  assert(one!.size > 300);
});

const basis = { blockTokens: BLOCK_TOKENS, overheadMilliseconds: 0 };

Deno.test("an endless cache hits always where dialogues stay, one time in n at random", () => {
  const workload = { rate: 2, turns: 2, answerTokens: 101 };
  const scenario = { workload, sidecars: 4, seconds: 8000 };
  // A load of 0.1: sixteen turns at one sidecar, which would be too many, do not happen.
  assert.equal(summarise(play(scenario), basis).cache_hit_rate, 1);
  const alone = play({ ...scenario, sidecars: 1, policy: "random" });
  assert.equal(summarise(alone, basis).cache_hit_rate, 1);
  const atRandom = summarise(play({ ...scenario, policy: "random" }), basis).cache_hit_rate!;
  assert(Math.abs(atRandom - 1 / 4) < 0.01, `${atRandom}`);
});

Deno.test("a cache of one context hits only who comes back before anybody else", () => {
  // Think times of 10 s at 1 dialogue a second: nobody comes back in time, but for luck.
  const workload = { rate: 1, turns: 2, contextTokens: CONTEXT, answerTokens: 400 };
  const small = { slots: 1, blocks: CONTEXT / BLOCK_TOKENS };
  const { cache_hit_rate } = summarise(play({ workload, model: small, seconds: 3000 }), basis);
  assert(cache_hit_rate! < 0.2, `${cache_hit_rate}`);
  assert.throws(
    () => play({ workload, model: { blocks: CONTEXT / BLOCK_TOKENS - 1 }, seconds: 1 }),
    /KV memory of a sidecar must hold one context/,
  );
});

Deno.test("the only sidecar dies: what it had is cut off or refused, and it comes back empty", () => {
  const scenario = { workload: { rate: 2, turns: 3 }, seconds: 100, death: { at: 40, backAt: 60 } };
  const { answered, counts } = play(scenario);
  assert(counts.refused > 20 && counts.broken > 0);
  assert(!answered.some(({ finishedAt }) => finishedAt > 40 && finishedAt < 60));
  // Dialogues that were thought over in the meantime go on, and nothing of them is left.
  const early = new Set(answered.filter((turn) => turn.finishedAt < 40).map(({ key }) => key));
  const resumed = answered.filter(({ key, askedAt }) => askedAt > 60 && early.has(key));
  const firsts = [...new Map(resumed.toReversed().map((turn) => [turn.key, turn])).values()];
  assert(firsts.length > 0 && firsts.every(({ knownTokens }) => knownTokens > 500));
  assert.deepEqual(firsts.map(({ cachedTokens }) => cachedTokens), firsts.map(() => 0));
});

Deno.test("a summary of no turns has no figures, and one of a few those of a sheet of paper", () => {
  const counts = {
    dialogues: 2,
    asked: 2,
    finished: 2,
    broken: 0,
    refused: 0,
    retried: 0,
    inFlight: 0,
  };
  const none = summarise({ answered: [], counts, busy: [0] }, basis);
  assert.deepEqual([none.ttft_ms, none.stream_tok_s, none.cache_hit_rate], [null, null, null]);
  const turn = (askedAt: number, firstTokenAt: number, finishedAt: number) => ({
    key: "a",
    promptTokens: 100,
    answerTokens: 11,
    knownTokens: 70,
    cachedTokens: 32,
    askedAt,
    firstTokenAt,
    finishedAt,
  });
  const answered = [turn(0, 1, 2), turn(10, 13, 18)];
  const figures = summarise({ answered, counts, busy: [0.5, 0.7] }, {
    ...basis,
    overheadMilliseconds: 5,
    death: { at: 9 },
  });
  assert.deepEqual(figures.ttft_ms, { p50: 1005, p99: 3005 });
  assert.deepEqual(figures.stream_tok_s, { p50: 2, p1: 2 });
  assert.equal(figures.cache_hit_rate, 64 / 128);
  assert.equal(figures.prompt_tokens_saved, 64 / 200);
  assert.deepEqual([figures.gpu_busy.least, figures.gpu_busy.most], [0.5, 0.7]);
  assert.deepEqual([figures.death!.before.turns, figures.death!.after.turns], [1, 1]);
});
