/** Sampling as a request meets it: seeds, and processed log-probabilities against the oracle. */
import assert from "node:assert/strict";
import { type Engine, GREEDY, type Sampling, type TokenLogprob } from "../../model/engine.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { loadReference, logSoftmax, type Reference } from "../reference.ts";
import type { Processed } from "../reference_sampling.ts";
import { type Answer, answer, engineTest, ofItsOwn, refused, withEngine } from "./engine_rig.ts";
import { expected } from "./sampling.ts";

const MODEL = committedGolden("q4-g128-act");
const PROMPT = loadGolden(MODEL).prompts[1]!.ids;
/** Our logits are off by this much at most, see `local_engine_test.ts`. */
const TOLERANCE = 0.02;

/** What people ask for, and hotter forms of it: the golden models are sure of themselves. */
const SAMPLINGS: Record<string, Partial<Sampling>> = {
  "greedy with a repetition penalty": { repetitionPenalty: 1.5 },
  "temperature, top-k, top-p and repetition penalty": {
    temperature: 0.7,
    topK: 40,
    topP: 0.95,
    repetitionPenalty: 1.1,
  },
  "the same, hot": { temperature: 6, topK: 40, topP: 0.95, repetitionPenalty: 1.1 },
  "frequency and presence penalties of the answer": {
    temperature: 6,
    topK: 40,
    frequencyPenalty: 1.5,
    presencePenalty: 0.5,
    frequencyScope: "output",
  },
  "biases, with every penalty": {
    temperature: 6,
    topP: 0.95,
    logitBias: [[0, 12.5], [3, -100], [40, 9], [41, -0.25]],
    frequencyPenalty: 1.5,
    presencePenalty: 0.5,
    repetitionPenalty: 1.3,
  },
  "greedy with biases": { logitBias: [[40, 9], [41, 8.5], [17, -100]], repetitionPenalty: 1.5 },
  "a frequency penalty of the whole context": {
    temperature: 6,
    topP: 0.95,
    frequencyPenalty: 40,
    frequencyScope: "context",
    repetitionPenalty: 1.1,
  },
  // One at a time: what min-p leaves moves the entropy that typical-p goes by.
  "min-p": { temperature: 6, minP: 0.05 },
  "typical-p": { temperature: 6, typicalP: 0.9 },
};

/** Part of what truncation goes by that our error may shift its edge by. */
const SLACK = 0.1;

/**
 * What the oracle leaves at least and at most, `factor` 1 - SLACK and 1 + SLACK: near its edge our
 * logits and the reference's may keep different tokens.
 */
function truncated(sampling: Partial<Sampling>, factor: number): Partial<Sampling> {
  const { topK = 0, topP = 1, minP = 0, typicalP = 1 } = sampling;
  return {
    ...sampling,
    topK: topK > 0 ? topK + Math.sign(factor - 1) : 0,
    topP: 1 - (1 - topP) * (2 - factor),
    minP: minP * (2 - factor),
    typicalP: 1 - (1 - typicalP) * (2 - factor),
  };
}

/** Asserts that a processed log-probability lies between those of the least and the most kept. */
function assertBetween(
  { id, logprob }: TokenLogprob,
  least: Processed,
  most: Processed,
): void {
  assert(most.logprobs[id]! > -Infinity, `token ${id} should have been removed`);
  const low = most.logprobs[id]! - TOLERANCE;
  // The fewer are kept, the more probable is each.
  const high = least.logprobs[id]! > -Infinity ? least.logprobs[id]! + TOLERANCE : 0;
  assert(low <= logprob && logprob <= high, `token ${id}: ${logprob}, not ${low} to ${high}`);
}

/** Generates with a sampling and compares every step with the oracle. */
async function checkAnswer(engine: Engine, reference: Reference, sampling: Partial<Sampling>) {
  const { tokens, ids } = await answer(engine, {
    prompt: PROMPT,
    maxNewTokens: 24,
    topTokens: 5,
    sampling: { ...GREEDY, seed: 5, ...sampling },
  });
  const rows = reference.forward([...PROMPT, ...ids.slice(0, -1)]).slice(PROMPT.length - 1);
  tokens.forEach(({ id, logprob, processedLogprob, processedTop }, i) => {
    const raw = logSoftmax(rows[i]!)[id]!;
    assert(Math.abs(logprob - raw) <= TOLERANCE, `${logprob}, expected ${raw}`);
    const [least, most] = [1 - SLACK, 1 + SLACK].map((factor) => {
      const changed = truncated({ temperature: 0, ...sampling }, factor);
      return expected(Float32Array.from(rows[i]!), changed, PROMPT, ids.slice(0, i));
    }) as [Processed, Processed];
    for (const token of [{ id, logprob: processedLogprob }, ...processedTop]) {
      assertBetween(token, least, most);
    }
    const sorted = processedTop.toSorted((a, b) => b.logprob - a.logprob);
    assert.deepEqual(processedTop, sorted);
    const left = (processed: Processed) =>
      Math.min(5, processed.logprobs.filter((value) => value > -Infinity).length);
    assert(left(least) <= processedTop.length && processedTop.length <= left(most));
  });
}

const HOT: Sampling = { ...GREEDY, temperature: 6, topK: 40, topP: 0.95, seed: 1 };

Deno.test("engine: a seed repeats its answer to the bit, and other seeds give others", () =>
  withEngine({ model: MODEL, slots: 1 }, async (engine) => {
    const draw = (seed: number): Promise<Answer> =>
      answer(engine, {
        prompt: PROMPT,
        maxNewTokens: 32,
        sampling: { ...HOT, seed },
        topTokens: 3,
        ...ofItsOwn(),
      });
    const seeds = [0, 1, 2, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    const first: Answer[] = [];
    for (const seed of seeds) first.push(await draw(seed));
    const distinct = new Set(first.map(({ ids }) => ids.join()));
    assert.equal(distinct.size, seeds.length);
    // In another order, with other requests before, and several waiting.
    const again = await Promise.all(seeds.toReversed().map(draw));
    assert.deepEqual(again.toReversed(), first);
  }));

Deno.test("engine: a seed repeats its answer after a restart", async () => {
  const answers: Answer[] = [];
  for (let start = 0; start < 2; start++) {
    await withEngine({ model: MODEL }, async (engine) => {
      const request = { prompt: PROMPT, maxNewTokens: 16, sampling: { ...HOT, seed: 7 } };
      answers.push(await answer(engine, request));
    });
  }
  assert.deepEqual(answers[0], answers[1]);
});

engineTest("engine: sampling", { model: MODEL }, {
  "each token is drawn from what the oracle leaves": async (engine, test) => {
    const reference = await loadReference(MODEL);
    for (const [name, sampling] of Object.entries(SAMPLINGS)) {
      await test.step(name, () => checkAnswer(engine, reference, sampling));
    }
  },
  "a biased token always comes or never, and the next request knows no bias": async (engine) => {
    const request = { prompt: PROMPT, maxNewTokens: 12, sampling: { ...HOT, seed: 3 } };
    const plain = await answer(engine, request);
    const wanted = { ...HOT, logitBias: [[5, 100]] } satisfies Sampling;
    const always = await answer(engine, { ...request, sampling: wanted });
    assert.deepEqual(always.ids, new Array(12).fill(5));
    assert(always.tokens[0]!.logprob < -1, "the raw probability knows no bias");
    assert(always.tokens.every(({ processedLogprob }) => processedLogprob > -1e-6));
    const banned = plain.ids.map((id) => [id, -100] as const);
    const without = await answer(engine, {
      ...request,
      sampling: { ...request.sampling, logitBias: banned },
    });
    assert.deepEqual(without.ids.filter((id) => plain.ids.includes(id)), []);
    assert.deepEqual(await answer(engine, request), plain);
  },
  "a bias that is no number, or of no token, is refused": async (engine) => {
    for (const bias of [[1e6, 1], [-1, 1], [0.5, 1], [3, NaN], [3, Infinity]] as const) {
      const sampling = { ...GREEDY, logitBias: [bias] };
      const message = await refused(answer(engine, { prompt: PROMPT, sampling }), "invalid");
      assert.match(message, /^Biases are finite, for ids below \d+: /);
    }
  },
  "what one request generated is not counted against the next": async (engine) => {
    const sampling = { ...GREEDY, frequencyPenalty: 2, presencePenalty: 2, repetitionPenalty: 1.5 };
    const request = { prompt: PROMPT, maxNewTokens: 24, sampling };
    const first = await answer(engine, request);
    const plain = await answer(engine, { ...request, sampling: GREEDY });
    assert.notDeepEqual(first.ids, plain.ids);
    assert.deepEqual(await answer(engine, request), first);
  },
});
