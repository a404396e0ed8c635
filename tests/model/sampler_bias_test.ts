/** Biases of single tokens in the sampler, against the float64 oracle. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { LogitBias, Sampling } from "../../model/engine.ts";
import { randomFloats, withGpu } from "../helpers.ts";
import { assertClose, expected, keptIds, row, SamplerRig } from "./sampling.ts";

const VOCAB = 2500; // two chunks of 2048, the second one not full
const PROMPT = [3, 3, 700, 2400];
const GENERATED = [8, 3, 8];

Deno.test("sampler: biased rows keep what float64 keeps, their neighbours know nothing", () =>
  withGpu(async (gpu) => {
    const rig = await SamplerRig.create(gpu, VOCAB, 2);
    const logits = randomFloats(VOCAB, 1, 4);
    const bias = fc.uniqueArray(
      fc.tuple(fc.nat(VOCAB - 1), fc.float({ min: -100, max: 100, noNaN: true })),
      { selector: ([id]) => id, minLength: 1, maxLength: 1024 },
    );
    const sampling = fc.record({
      logitBias: bias as fc.Arbitrary<LogitBias[]>,
      temperature: fc.constantFrom(0, 0.3, 1, 4),
      topK: fc.constantFrom(0, 5),
      repetitionPenalty: fc.constantFrom(1, 1.3),
      frequencyPenalty: fc.constantFrom(0, -1.5, 2),
      presencePenalty: fc.constantFrom(0, 0.75),
    });
    await fc.assert(
      fc.asyncProperty(sampling, async (sampling: Partial<Sampling>) => {
        rig.sampler.reset(0, PROMPT, GENERATED, sampling.logitBias);
        rig.sampler.reset(1, PROMPT, GENERATED);
        const plain = { ...sampling, logitBias: [] };
        const rows = [row(0, sampling), row(1, plain)];
        const sampled = await rig.run([logits, logits], rows);
        const scores = await rig.scores();
        const raw = expected(logits, {}).logprobs;
        for (const [r, asked] of [sampling, plain].entries()) {
          const { kept, logprobs } = expected(logits, asked, PROMPT, GENERATED);
          const { id, logprob, processedLogprob, invalid } = sampled[r];
          assert(!invalid && kept.has(id), `row ${r}: ${id}`);
          if (asked.temperature! > 0) assert.deepEqual(keptIds(scores[r]), [...kept.keys()]);
          assertClose(processedLogprob, logprobs[id], 2e-5, `row ${r}, processed`);
          assertClose(logprob, raw[id], 1e-5, `row ${r}`);
        }
      }),
      { numRuns: 60, seed: 4 },
    );
  }));

Deno.test("sampler: a slot's old biases are gone, and what is asked about is never biased", () =>
  withGpu(async (gpu) => {
    const rig = await SamplerRig.create(gpu, VOCAB, 1);
    const logits = randomFloats(VOCAB, 2, 4);
    const greedy = (logitBias: LogitBias[]) => [row(0, { temperature: 0, logitBias })];
    rig.sampler.reset(0, [], [], [[5, 100], [6, -100]]);
    const [biased] = await rig.run([logits], greedy([[5, 100], [6, -100]]));
    assert.equal(biased.id, 5);
    const [asked] = await rig.run([logits], [row(0, { logitBias: [[5, 100]] }, { forced: 5 })]);
    assertClose(asked.processedLogprob, expected(logits, {}).logprobs[5], 1e-5, "forced");

    rig.sampler.reset(0, []);
    const [{ id }] = await rig.run([logits], greedy([]));
    assert.equal(id, logits.indexOf(Math.max(...logits)));
    rig.sampler.reset(0, [], [], [[9, 100]]);
    assert.equal((await rig.run([logits], greedy([[9, 100]])))[0].id, 9);
  }));

Deno.test("sampler: no bias brings back a token that cannot come, or hides a NaN", () =>
  withGpu(async (gpu) => {
    const rig = await SamplerRig.create(gpu, VOCAB, 1);
    const logits = randomFloats(VOCAB, 3, 4);
    logits[5] = -Infinity;
    const logitBias: LogitBias[] = [[5, 100]];
    rig.sampler.reset(0, [], [], logitBias);
    const [without] = await rig.run([logits], [row(0, { temperature: 0, logitBias })]);
    assert(!without.invalid && without.id !== 5);
    logits[5] = NaN;
    const [invalid] = await rig.run([logits], [row(0, { temperature: 0, logitBias })]);
    assert(invalid.invalid);
  }));
