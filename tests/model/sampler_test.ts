import assert from "node:assert/strict";
import { storageBuffer } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import { GREEDY, type Sampling, type TokenLogprob } from "../../model/engine.ts";
import { Sampler } from "../../model/sampler.ts";
import { randomFloats, withGpu } from "../helpers.ts";
import { assertClose, expected, row, SamplerRig } from "./sampling.ts";

function assertList(found: TokenLogprob[], logprobs: Float64Array, length: number): void {
  const best = [...logprobs.keys()]
    .filter((id) => logprobs[id] > -Infinity)
    .sort((a, b) => logprobs[b] - logprobs[a] || a - b)
    .slice(0, length);
  assert.deepEqual(found.map(({ id }) => id), best);
  for (const { id, logprob } of found) assertClose(logprob, logprobs[id], 1e-5, `token ${id}`);
}

Deno.test("sampler: log-probabilities and best tokens, raw and processed, of each kind of row", () =>
  withGpu(async (gpu) => {
    const vocab = 2500;
    const prompt = [3, 3, 700, 2400];
    const generated = [8, 3, 8];
    const cases: [Partial<Sampling>, number][] = [
      [{ temperature: 0 }, 0],
      [{ temperature: 0, repetitionPenalty: 1.4, presencePenalty: 0.5 }, 20],
      [{ temperature: 0.6, topK: 7 }, 20],
      [{ temperature: 1.8, frequencyPenalty: 0.3, frequencyScope: "context" }, 5],
      [{ frequencyPenalty: -0.7, presencePenalty: -0.2, topP: 0.9 }, 3],
      [{ temperature: 40 }, 20],
    ];
    const rig = await SamplerRig.create(gpu, vocab, cases.length + 1);
    const logits = [...cases, null].map((_, r) =>
      randomFloats(vocab, r, 4).map((value, id) => prompt.includes(id) ? value + 5 : value)
    );
    const contextLength = prompt.length + generated.length;
    const rows = cases.map(([sampling, topTokens], slot) =>
      row(slot, sampling, { topTokens, contextLength, drawIndex: 3 })
    );
    const forced = row(0, { temperature: 0.3, topK: 1, repetitionPenalty: 5 }, {
      topTokens: 4,
      contextLength,
      forced: 700,
    });
    for (const slot of rows.keys()) rig.sampler.reset(slot, prompt, generated);
    const sampled = await rig.run(logits, [...rows, forced]);
    for (const [r, [sampling, topTokens]] of cases.entries()) {
      const raw = expected(logits[r], {}).logprobs;
      const processed = expected(logits[r], sampling, prompt, generated);
      const { id, logprob, processedLogprob, top, processedTop, invalid } = sampled[r];
      assert(!invalid && processed.kept.has(id), `row ${r}: ${id}`);
      assertClose(logprob, raw[id], 1e-5, `row ${r}`);
      assertClose(processedLogprob, processed.logprobs[id], 1e-5, `row ${r}`);
      assertList(top, raw, topTokens);
      assertList(processedTop, processed.logprobs, topTokens);
    }
    const raw = expected(logits[cases.length], {}).logprobs;
    const told = sampled[cases.length];
    assert.equal(told.id, 700);
    assertClose(told.logprob, raw[700], 1e-5, "forced");
    assertClose(told.processedLogprob, raw[700], 1e-5, "forced");
    assertList(told.top, raw, 4);
  }));

Deno.test("sampler: greedy takes the lowest id of equals", () =>
  withGpu(async (gpu) => {
    const vocab = 5000;
    const rig = await SamplerRig.create(gpu, vocab, 2);
    const logits = new Float32Array(vocab);
    for (const id of [4999, 2100, 2099, 3000]) logits[id] = 2;
    const late = logits.map((value, id) => id < 4999 ? 0 : value);
    const greedy = [row(0, { temperature: 0 }), row(1, { temperature: 0 })];
    const ids = (await rig.run([logits, late], greedy)).map(({ id }) => id);
    assert.deepEqual(ids, [2099, 4999]);
  }));

Deno.test("sampler: steps in one submit see the tokens chosen before them", () =>
  withGpu(async (gpu) => {
    const vocab = 40;
    const steps = 8;
    const rig = await SamplerRig.create(gpu, vocab, 4, steps);
    const logits = randomFloats(vocab, 4, 1);
    const prompt = [1, 2, 2];
    const samplings: Sampling[] = [
      { ...GREEDY, presencePenalty: 0.4 },
      { ...GREEDY, frequencyPenalty: 0.15 },
      { ...GREEDY, frequencyPenalty: 3, frequencyScope: "context" },
      { ...GREEDY, repetitionPenalty: 1.5 },
    ];
    for (const slot of samplings.keys()) rig.sampler.reset(slot, prompt);
    // A sequence that had the slot before, or is taken up again, leaves nothing.
    rig.sampler.reset(1, [5, 6], [7, 8]);
    rig.sampler.reset(1, prompt);
    rig.sampler.reset(2, [...prompt, 9].slice(0, 3));
    const plans = Array.from(
      { length: steps },
      (_, step) =>
        samplings.map((sampling, slot) =>
          row(slot, sampling, { drawIndex: step, contextLength: prompt.length + step })
        ),
    );
    samplings.forEach((_, r) =>
      gpu.device.queue.writeBuffer(rig.logits, r * vocab * 4, Float32Array.from(logits))
    );
    const found = await rig.runSteps(plans);
    for (const [slot, sampling] of samplings.entries()) {
      const generated: number[] = [];
      for (let step = 0; step < steps; step++) {
        const { kept, logprobs } = expected(logits, sampling, prompt, generated);
        const [id] = kept.keys();
        const { id: ours, processedLogprob } = found[step][slot];
        assert.equal(ours, id, `slot ${slot}, step ${step}`);
        assertClose(processedLogprob, logprobs[id], 1e-5, `slot ${slot}, step ${step}`);
        generated.push(id);
      }
      assert(new Set(generated).size > 1, "the penalty changes what comes");
    }
    const last = new Uint32Array(await readOnce(gpu, rig.sampler.sampled, 4 * 4));
    assert.deepEqual([...last], found[steps - 1].map(({ id }) => id));
  }));

Deno.test("sampler: forced rows leave counts and sampled tokens as they are", () =>
  withGpu(async (gpu) => {
    const vocab = 40;
    const rig = await SamplerRig.create(gpu, vocab, 4);
    const logits = randomFloats(vocab, 4, 1);
    rig.sampler.reset(2, []);
    const sampling = { temperature: 0, presencePenalty: 100 };
    const [first] = await rig.run([logits], [row(2, sampling)]);
    // Three rows ask about one slot, as a prompt does.
    const asked = [5, 6, first.id].map((forced) => row(2, sampling, { forced }));
    const told = await rig.run([logits, logits, logits], asked);
    assert.deepEqual(told.map(({ id }) => id), [5, 6, first.id]);
    const { logprobs } = expected(logits, {});
    told.forEach(({ id, logprob }) => assertClose(logprob, logprobs[id], 1e-5, `token ${id}`));
    const sampled = new Uint32Array(await readOnce(gpu, rig.sampler.sampled, 16));
    assert.equal(sampled[2], first.id);
    const [second] = await rig.run([logits], [row(2, sampling)]);
    const { kept } = expected(logits, sampling, [], [first.id]);
    assert.deepEqual([second.id], [...kept.keys()]);
  }));

Deno.test("sampler: logits that are no distribution are reported, and harm no other row", () =>
  withGpu(async (gpu) => {
    const vocab = 2500;
    const good = randomFloats(vocab, 1, 3);
    const spoiled = (...changes: [number, number][]) => {
      const logits = good.slice();
      for (const [id, value] of changes) logits[id] = value;
      return logits;
    };
    const bad = [
      spoiled([5, NaN]),
      new Float32Array(vocab).fill(NaN),
      spoiled([2499, Infinity]),
      new Float32Array(vocab).fill(-Infinity),
    ];
    const everything = { topK: 50, topP: 0.9, minP: 0.001, typicalP: 0.9, repetitionPenalty: 1.2 };
    const samplings = [{ ...everything, seed: 8 }, { temperature: 0 }];
    const rig = await SamplerRig.create(gpu, vocab, bad.length + 1);
    for (const sampling of samplings) {
      const [alone] = await rig.run([good], [row(0, sampling, { topTokens: 20 })]);
      const all = [...bad, good];
      const rows = all.map((_, slot) => row(slot, sampling, { topTokens: 20 }));
      for (const slot of rows.keys()) rig.sampler.reset(slot, []);
      const sampled = await rig.run(all, rows);
      assert.deepEqual(sampled.map(({ invalid }) => invalid), [true, true, true, true, false]);
      assert(sampled.every(({ id }) => id < vocab), "even so an id is one that can be embedded");
      assert.deepEqual(sampled[bad.length], alone);
      // The same rows with proper logits: nothing is left over.
      for (const slot of rows.keys()) rig.sampler.reset(slot, []);
      const again = await rig.run(rows.map(() => good), rows);
      again.forEach((result) => assert.deepEqual(result, alone));
    }
    // A token that cannot come is no error.
    const [without] = await rig.run([spoiled([7, -Infinity])], [
      row(0, { seed: 1 }, { forced: 7 }),
    ]);
    assert.deepEqual([without.invalid, without.logprob], [false, -Infinity]);
  }));

Deno.test("sampler: more than the kernels can see is refused, with the numbers", () =>
  withGpu(async (gpu) => {
    const logits = storageBuffer(gpu, "logits", 4);
    const create = (vocabSize: number, maxRows: number, slots: number) =>
      Sampler.create(gpu, { vocabSize, maxRows, slots, logits });
    await assert.rejects(create(65537, 1, 1), /vocabulary of 65537 is above 65536/);
    await assert.rejects(create(65024, 11, 10), /11 rows of 65024 tokens .* hold 10/);
    await assert.rejects(create(65024, 10, 11), /11 slots of 65024 tokens .* hold 10/);
  }, { maxBindingBytes: 10 * 65024 * 4 }));
