/** Sampling as a request meets it: seeds, and processed log-probabilities against the oracle. */
import assert from "node:assert/strict";
import { GREEDY, type Sampling } from "../../model/engine.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { loadReference, logSoftmax } from "../reference.ts";
import type { Processed } from "../reference_sampling.ts";
import { type Answer, answer, type GeneratedToken, withEngine } from "./engine_rig.ts";
import { expected } from "./sampling.ts";

const MODEL = committedGolden("q4-g128-act");
const PROMPT = loadGolden(MODEL).prompts[1]!.ids;
/** Our logits are off by this much at most, see `local_engine_test.ts`. */
const TOLERANCE = 0.02;

/** What Claire's card recommends, and hotter forms of it: the golden models are sure of themselves. */
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
  "a frequency penalty of the whole context": {
    temperature: 6,
    topP: 0.95,
    frequencyPenalty: 40,
    frequencyScope: "context",
    repetitionPenalty: 1.1,
  },
  "min-p and typical-p": { temperature: 6, minP: 0.05, typicalP: 0.9 },
};

/** Hides a token's choice behind what the oracle may still disagree on: the edge of what is kept. */
function isClear(logits: Float32Array, sampling: Partial<Sampling>, context: number[][]): boolean {
  const { topP = 1, minP = 0, typicalP = 1, topK = 0 } = sampling;
  const [prompt, generated] = context as [number[], number[]];
  const kept = (factor: number) =>
    expected(
      logits,
      {
        ...sampling,
        topP: topP < 1 ? 1 - (1 - topP) * factor : 1,
        minP: minP * factor,
        typicalP: typicalP < 1 ? 1 - (1 - typicalP) * factor : 1,
      },
      prompt,
      generated,
    ).kept.size;
  const sorted = topK > 0 ? logits.toSorted() : undefined;
  const gap = sorted ? sorted.at(-topK)! - sorted.at(-topK - 1)! : Infinity;
  return kept(0.95) === kept(1.05) && gap > 2 * TOLERANCE;
}

/** Compares a step with the oracle, given the reference's logits. */
function checkStep(token: GeneratedToken, { kept, logprobs }: Processed): void {
  const close = (found: number, id: number) => {
    const wanted = logprobs[id]!;
    const near = found === wanted || Math.abs(found - wanted) <= TOLERANCE;
    assert(near, `token ${id}: ${found}, expected ${wanted}`);
  };
  assert(kept.has(token.id), `token ${token.id} should have been removed`);
  close(token.processedLogprob, token.id);
  const left = logprobs.reduce((count, logprob) => logprob > -Infinity ? count + 1 : count, 0);
  assert.equal(token.processedTop.length, Math.min(5, left));
  token.processedTop.forEach(({ id, logprob }, i) => {
    close(logprob, id);
    if (i > 0) assert(logprob <= token.processedTop[i - 1]!.logprob, "best first");
  });
}

for (const [name, sampling] of Object.entries(SAMPLINGS)) {
  Deno.test(`engine: ${name}: each token is drawn from what the oracle leaves`, async () => {
    const reference = await loadReference(MODEL);
    await withEngine({ model: MODEL }, async (engine) => {
      const { tokens, ids } = await answer(engine, {
        prompt: PROMPT,
        maxNewTokens: 24,
        topTokens: 5,
        sampling: { ...GREEDY, seed: 5, ...sampling },
      });
      const rows = reference.forward([...PROMPT, ...ids.slice(0, -1)]).slice(PROMPT.length - 1);
      let clear = 0;
      tokens.forEach((token, i) => {
        const logits = Float32Array.from(rows[i]!);
        const generated = ids.slice(0, i);
        const raw = logSoftmax(rows[i]!)[token.id]!;
        assert(Math.abs(token.logprob - raw) <= TOLERANCE, `${token.logprob}, expected ${raw}`);
        const asked = { temperature: 0, ...sampling };
        if (!isClear(logits, asked, [PROMPT, generated])) return;
        clear++;
        checkStep(token, expected(logits, asked, PROMPT, generated));
      });
      assert(
        clear >= tokens.length / 3,
        `only ${clear} of ${tokens.length} steps could be checked`,
      );
    });
  });
}

const HOT: Sampling = { ...GREEDY, temperature: 6, topK: 40, topP: 0.95, seed: 1 };

Deno.test("engine: a seed repeats its answer to the bit, and other seeds give others", () =>
  withEngine({ model: MODEL }, async (engine) => {
    const draw = (seed: number): Promise<Answer> =>
      answer(engine, {
        prompt: PROMPT,
        maxNewTokens: 32,
        sampling: { ...HOT, seed },
        topTokens: 3,
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

Deno.test("engine: what one request generated is not counted against the next", () =>
  withEngine({ model: MODEL }, async (engine) => {
    const sampling = { ...GREEDY, frequencyPenalty: 2, presencePenalty: 2, repetitionPenalty: 1.5 };
    const request = { prompt: PROMPT, maxNewTokens: 24, sampling };
    const first = await answer(engine, request);
    const plain = await answer(engine, { ...request, sampling: GREEDY });
    assert.notDeepEqual(first.ids, plain.ids);
    assert.deepEqual(await answer(engine, request), first);
  }));
