import assert from "node:assert/strict";
import fc from "fast-check";
import type { Sampling } from "../../model/engine.ts";
import { randomFloats, seededRandom, withGpu } from "../helpers.ts";
import { loadGoldenSampling } from "../golden.ts";
import { assertClose, expected, keptIds, row, SamplerRig } from "./sampling.ts";

/** Of each token that was kept. */
function probabilities(scores: Float32Array, temperature: number): Map<number, number> {
  const ids = keptIds(scores);
  const largest = Math.max(...ids.map((id) => scores[id]));
  const weights = ids.map((id) => Math.exp((scores[id] - largest) / temperature));
  const sum = weights.reduce((a, b) => a + b);
  return new Map(ids.map((id, i) => [id, weights[i] / sum]));
}

/** Logits like a language model's: most lie far below a few. */
function peaked(vocab: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return randomFloats(vocab, seed + 1, 2).map((value) => value - Math.log(random()));
}

Deno.test("sampler: Hugging Face's kept tokens exactly, and their probabilities", () =>
  withGpu(async (gpu) => {
    const rigs = new Map<number, SamplerRig>();
    for (const { params, logits, context, kept } of loadGoldenSampling()) {
      const vocab = logits.length;
      const rig = rigs.get(vocab) ?? await SamplerRig.create(gpu, vocab, 1);
      rigs.set(vocab, rig);
      const sampling = {
        temperature: params.temperature ?? 1,
        topK: params.top_k ?? 0,
        topP: params.top_p ?? 1,
        minP: params.min_p ?? 0,
        typicalP: params.typical_p ?? 1,
        repetitionPenalty: params.repetition_penalty ?? 1,
      };
      rig.sampler.reset(0, context);
      const [{ id, processedLogprob }] = await rig.run([Float32Array.from(logits)], [
        row(0, sampling, { contextLength: context.length }),
      ]);
      const [scores] = await rig.scores();
      const found = probabilities(scores, sampling.temperature);
      const what = JSON.stringify(params);
      assert.deepEqual([...found.keys()].map(String), Object.keys(kept), what);
      for (const [id, p] of found) assertClose(p, kept[id], 1e-5, `${what}: token ${id}`);
      assertClose(Math.exp(processedLogprob), kept[id], 1e-5, what);
    }
  }));

/**
 * Whether the oracle keeps these ids, for parameters no further off than rounding: where a sum
 * hits its goal to the last bit, float64 itself is a matter of luck.
 */
function agrees(found: number[], logits: Float32Array, sampling: Sampling, prompt: number[]) {
  const key = found.join();
  const near = [0, 1e-8, -1e-8].map((shift) => ({
    ...sampling,
    topP: sampling.topP < 1 ? Math.max(0, sampling.topP + shift) : 1,
    minP: sampling.minP * (1 + 100 * shift),
    typicalP: sampling.typicalP < 1 ? sampling.typicalP + shift : 1,
  }));
  return near.some((s) => [...expected(logits, s, prompt).kept.keys()].join() === key);
}

Deno.test("sampler: any parameters keep what float64 keeps", () =>
  withGpu(async (gpu) => {
    const vocab = 2500;
    const batch = 4;
    const rig = await SamplerRig.create(gpu, vocab, batch);
    const off = <T>(neutral: T, some: fc.Arbitrary<T>) => fc.option(some, { nil: neutral });
    // Closer to 1 than single precision gets, a sum is known no better than its tokens.
    const unit = fc.double({ min: 0, max: 1 - 2 ** -24, noNaN: true });
    const request = fc.record({
      seed: fc.nat(),
      scale: fc.constantFrom(0.1, 1, 4, 30),
      // Rounded logits have many equals.
      rounded: fc.boolean(),
      temperature: fc.double({ min: 0.05, max: 4, noNaN: true }),
      topK: off(0, fc.integer({ min: 1, max: vocab + 10 })),
      topP: off(1, unit),
      minP: off(0, unit),
      typicalP: off(1, unit),
      repetitionPenalty: off(1, fc.float({ min: 0.5, max: 3, noNaN: true })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: batch, maxLength: batch }), async (all) => {
        const logits = all.map(({ seed, scale, rounded }) =>
          randomFloats(vocab, seed, scale).map((x) => rounded ? Math.round(8 * x) / 8 : x)
        );
        const rows = all.map((sampling, r) => row(r, sampling));
        const prompt = [1, 5, 7, 2000];
        for (const r of rows.keys()) rig.sampler.reset(r, prompt);
        await rig.run(logits, rows);
        for (const [r, scores] of (await rig.scores()).entries()) {
          const kept = keptIds(scores);
          const what = `${kept.length} tokens kept with ${JSON.stringify(all[r])}`;
          assert(agrees(kept, logits[r], rows[r].sampling, prompt), what);
        }
      }),
      { numRuns: 100, seed: 20 },
    );
  }));

Deno.test("sampler: at the edges of each parameter", () =>
  withGpu(async (gpu) => {
    const vocab = 300;
    const logits = randomFloats(vocab, 1, 3);
    const best = logits.indexOf(Math.max(...logits));
    const all = [...logits.keys()];
    const flat = new Float32Array(vocab).fill(-2.5);
    const huge = logits.map((value, id) => id % 2 ? 1e4 : -1e4 + value);
    const odd = all.filter((id) => id % 2);
    const cases: [string, Float32Array, Partial<Sampling>, number[]][] = [
      ["k = 1", logits, { topK: 1 }, [best]],
      ["k = vocab", logits, { topK: vocab }, all],
      ["k beyond vocab", logits, { topK: 1e9 }, all],
      ["p = 0", logits, { topP: 0 }, [best]],
      ["p tiny", logits, { topP: 1e-12 }, [best]],
      ["p just below 1", logits, { topP: 1 - 2 ** -53 }, all],
      ["min_p = 1", logits, { minP: 1 }, [best]],
      ["min_p tiny", logits, { minP: 1e-300 }, all],
      ["typical just below 1", logits, { typicalP: 1 - 2 ** -53 }, all],
      ["temperature tiny", logits, { temperature: 1e-40, topP: 0.9999 }, [best]],
      ["temperature huge", logits, { temperature: 1e30, topP: 0.9999, minP: 0.999 }, all],
      ["flat, k = 1", flat, { topK: 1 }, all],
      ["flat, half", flat, { topP: 0.5 }, all.slice(150)],
      ["flat, 0.8", flat, { topP: 0.8 }, all.slice(60)],
      ["flat, p tiny", flat, { topP: 1e-9 }, [vocab - 1]],
      ["flat, min_p = 1", flat, { minP: 1 }, all],
      ["flat, typical", flat, { typicalP: 0.2 }, all],
      ["huge, p", huge, { topP: 0.9, temperature: 5 }, odd.slice(15)],
      ["huge, typical", huge, { typicalP: 0.5 }, odd],
      ["huge, min_p", huge, { minP: 0.5 }, odd],
    ];
    const rig = await SamplerRig.create(gpu, vocab, cases.length);
    const sampled = await rig.run(
      cases.map(([, logits]) => logits),
      cases.map(([, , sampling], slot) => row(slot, sampling)),
    );
    const scores = await rig.scores();
    for (const [r, [what, , , kept]] of cases.entries()) {
      assert.deepEqual(keptIds(scores[r]), kept, what);
      assert(kept.includes(sampled[r].id) && !sampled[r].invalid, what);
      if (kept.length === 1) assert.equal(sampled[r].processedLogprob, 0, what);
    }
    const tiny = expected(logits, { typicalP: 1e-9 }).kept;
    await rig.run([logits], [row(0, { typicalP: 1e-9 })]);
    assert.deepEqual(keptIds((await rig.scores())[0]), [...tiny.keys()], "typical tiny");
    assert.equal(tiny.size, 1);

    const single = await SamplerRig.create(gpu, 1, 1);
    const everything = { topK: 3, topP: 0.1, minP: 1, typicalP: 0.1, repetitionPenalty: 2 };
    const [only] = await single.run([Float32Array.of(-7)], [
      row(0, everything, { topTokens: 20 }),
    ]);
    assert.deepEqual([only.id, only.logprob, only.processedLogprob], [0, 0, 0]);
    assert.deepEqual([only.top, only.processedTop], [[{ id: 0, logprob: 0 }], only.top]);
  }));

Deno.test("sampler: the whole vocabulary keeps what float64 keeps, again and again", () =>
  withGpu(async (gpu) => {
    const vocab = 65024;
    const steps: Partial<Sampling>[] = [
      { topP: 0.95 },
      { topP: 0.999, temperature: 1.7 },
      { topP: 0.95, temperature: 1.7, topK: 40 },
      { typicalP: 0.9, temperature: 1.3 },
      { topK: 5000, topP: 0.9, minP: 1e-5, typicalP: 0.95, repetitionPenalty: 1.3 },
      { topP: 0.999, temperature: 1.7 },
    ];
    const prompt = [11, 193, 204];
    const logits = steps.map((_, r) => r < 5 ? peaked(vocab, 10 * r) : randomFloats(vocab, r, 1));
    const rig = await SamplerRig.create(gpu, vocab, steps.length);
    const rows = steps.map((sampling, slot) => row(slot, { ...sampling, seed: slot }));
    const run = () => {
      for (const slot of steps.keys()) rig.sampler.reset(slot, prompt);
      return rig.run(logits, rows);
    };
    const sampled = await run();
    const scores = await rig.scores();
    for (const [r, sampling] of steps.entries()) {
      const { kept, logprobs } = expected(logits[r], sampling, prompt);
      const what = JSON.stringify(sampling);
      assert(kept.size > 10 && kept.size < vocab, what);
      assert.equal(keptIds(scores[r]).join(), [...kept.keys()].join(), what);
      assertClose(sampled[r].processedLogprob, logprobs[sampled[r].id], 1e-5, what);
    }
    assert.deepEqual(await run(), sampled);
    assert.deepEqual(await rig.scores(), scores);
  }));
