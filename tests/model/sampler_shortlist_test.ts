/** The sampler's short way against its long way, bit for bit, and against the float64 oracle. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import type { LogitBias, Sampling } from "../../model/engine.ts";
import type { SampleRow } from "../../model/sampler.ts";
import { assertSame, randomFloats, withGpu } from "../helpers.ts";
import { expected, keptIds, row, SamplerRig } from "./sampling.ts";

/** Two samplers that differ in nothing but the way. */
async function bothWays(gpu: Gpu, vocab: number, rows: number, steps = 1) {
  const short = await SamplerRig.create(gpu, vocab, rows, steps);
  const long = await SamplerRig.create(gpu, vocab, rows, steps, false);
  const needs = { short: false };
  const assertAgree = async (
    logits: readonly Float32Array[],
    all: readonly SampleRow[],
    what: string,
  ) => {
    needs.short = short.sampler.upload(all).shortlist;
    const found = await short.run(logits, all);
    const wanted = await long.run(logits, all);
    // Floats have been read from their bits, and NaN does not occur: equal means the same bits.
    assert.deepEqual(found, wanted, what);
    const kept = await short.scores();
    for (const [r, scores] of (await long.scores()).slice(0, all.length).entries()) {
      if (all[r]!.sampling.temperature > 0 && all[r]!.forced === undefined) {
        assertSame(kept[r]!, scores, `${what}, row ${r}: what is kept`);
      }
    }
    const remembered = (rig: SamplerRig) => readOnce(gpu, rig.sampler.sampled, 4 * rows);
    assert.deepEqual(await remembered(short), await remembered(long), what);
    return found;
  };
  const reset = (...args: Parameters<typeof short.sampler.reset>) => {
    short.sampler.reset(...args);
    long.sampler.reset(...args);
  };
  return { short, long, assertAgree, reset, needs };
}

const VOCAB = 4500; // three chunks, the last one not full
const PROMPT = [1, 5, 7, 2100, 4400];
const ROWS = 4;

/** Of a step that goes the short way. */
function requests(vocab: number) {
  const off = <T>(neutral: T, some: fc.Arbitrary<T>) => fc.option(some, { nil: neutral });
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  const bias = fc.tuple(
    fc.nat(vocab - 1),
    fc.oneof(fc.float({ min: -100, max: 100, noNaN: true }), fc.constant(-Infinity)),
  );
  return fc.record({
    seed: fc.nat(),
    scale: fc.constantFrom(0.1, 1, 4, 30),
    /** Logits are rounded to multiples of one over this; 0: not at all. */
    grid: fc.constantFrom(0, 0, 0.25, 1, 2, 8, 64),
    temperature: fc.oneof(
      fc.constantFrom(0, 1e-40, 1e-3, 1e30),
      fc.double({ min: 0.05, max: 4, noNaN: true }),
    ),
    topK: fc.oneof(fc.constantFrom(1, 2, 40, 63, 64), fc.integer({ min: 1, max: 64 })),
    topP: off(1, fc.oneof(unit, fc.constantFrom(0, 0.95, 1 - 2 ** -53))),
    minP: off(0, fc.oneof(unit, fc.constantFrom(0.05, 1e-300, 1))),
    repetitionPenalty: off(1, fc.float({ min: 0.5, max: 3, noNaN: true })),
    frequencyPenalty: off(0, fc.float({ min: -2, max: 2, noNaN: true })),
    presencePenalty: off(0, fc.float({ min: -2, max: 2, noNaN: true })),
    logitBias: off([], fc.uniqueArray(bias, { selector: ([id]) => id, maxLength: 300 })),
    forced: fc.option(fc.nat(vocab - 1), { nil: undefined, freq: 12 }),
  });
}

type Request = ReturnType<typeof requests> extends fc.Arbitrary<infer R> ? R : never;

function logitsOf({ seed, scale, grid }: Request, vocab: number): Float32Array {
  const logits = randomFloats(vocab, seed, scale);
  return grid === 0 ? logits : logits.map((x) => Math.round(x * grid) / grid);
}

function rowOf({ forced, ...sampling }: Request, slot: number): SampleRow {
  return row(slot, { ...sampling, logitBias: sampling.logitBias as LogitBias[] }, {
    drawIndex: sampling.seed % 1000,
    contextLength: PROMPT.length,
    ...(forced === undefined ? {} : { forced }),
  });
}

Deno.test("sampler: the short way gives the bits of the long way, whatever is asked", () =>
  withGpu(async (gpu) => {
    for (const [vocab, numRuns] of [[VOCAB, 80], [301, 30]] as const) {
      const { assertAgree, reset, needs } = await bothWays(gpu, vocab, ROWS);
      const prompt = PROMPT.filter((id) => id < vocab);
      await fc.assert(
        fc.asyncProperty(
          fc.array(requests(vocab), { minLength: 1, maxLength: ROWS }),
          async (all) => {
            all.forEach(({ logitBias }, r) =>
              reset(r, prompt, [3, 4, 4], logitBias as LogitBias[])
            );
            const logits = all.map((request) => logitsOf(request, vocab));
            await assertAgree(logits, all.map(rowOf), JSON.stringify(all));
            assert(needs.short);
          },
        ),
        { numRuns, seed: 30 },
      );
    }
  }));

Deno.test("sampler: equals at the k-th score are all kept, however many lie outside the list", () =>
  withGpu(async (gpu) => {
    const cases: [string, (id: number) => number][] = [
      ["all are equal", () => 0.5],
      ["all but one", (id) => id === 2100 ? 1 : 0.5],
      ["39 above, the rest equal", (id) => id % 100 === 0 && id < 3900 ? id / 1000 : -1],
      ["both zeros", (id) => [0, -0, -1][id % 3]!],
      ["equals in one chunk", (id) => id >= 2048 && id < 2248 ? 3 : -3],
      ["one more than are listed", (id) => id % 64 === 0 && id < 41 * 64 ? 3 : -3],
      ["as many as are listed", (id) => id % 64 === 0 && id < 40 * 64 ? 3 : -3],
      ["few at all", (id) => id % 200 === 0 ? 1 : -Infinity],
      ["one at all", (id) => id === 4499 ? 1 : -Infinity],
      ["ascending", (id) => id / 100],
      ["descending", (id) => -id / 100],
      ["eight for each thread", (id) => id % 256 < 8 ? 5 + id / 1e4 : 0],
    ];
    const { assertAgree, reset, needs } = await bothWays(gpu, VOCAB, cases.length);
    const logits = cases.map(([, value]) =>
      Float32Array.from({ length: VOCAB }, (_, id) => value(id))
    );
    const samplings: Partial<Sampling>[] = [
      { topK: 40 },
      { topK: 64, topP: 0.7 },
      { topK: 40, topP: 0.3, temperature: 2 },
      { topK: 1, topP: 0.999 },
      { topK: 40, minP: 0.9 },
      { topK: 2, topP: 1e-9, minP: 0.1 },
    ];
    for (const [seed, sampling] of samplings.entries()) {
      const asked = { ...sampling, seed };
      logits.forEach((_, r) => reset(r, []));
      const what = JSON.stringify(sampling);
      const all = logits.map((_, r) => row(r, asked));
      await assertAgree(logits, all, what);
      assert(needs.short);
    }
  }));

Deno.test("sampler: the probabilities of many tokens are added up in one order", () =>
  withGpu(async (gpu) => {
    const { assertAgree } = await bothWays(gpu, VOCAB, 64);
    // Another order shows in the last bit of one log-probability in ten.
    for (const first of [0, 64, 128]) {
      const logits = Array.from({ length: 64 }, (_, r) => randomFloats(VOCAB, first + r, 0.5));
      const rows = logits.map((_, r) => row(r, { topK: 64, seed: first + r }));
      await assertAgree(logits, rows, `from ${first}`);
    }
  }));

Deno.test("sampler: both ways agree on the whole vocabulary, with all candidates there can be", () =>
  withGpu(async (gpu) => {
    const vocab = 65024;
    const samplings: Partial<Sampling>[] = [
      { topK: 64, temperature: 1.7, frequencyPenalty: 0.2 },
      { topK: 40, topP: 0.95, temperature: 0.7, repetitionPenalty: 1.1 },
      { topK: 64, topP: 0.8, temperature: 3 },
    ];
    const { assertAgree, reset } = await bothWays(gpu, vocab, samplings.length);
    // The first is flat enough for equals, by chance; the last has its best tokens in one chunk.
    const logits = [
      randomFloats(vocab, 1, 0.001),
      randomFloats(vocab, 2, 4),
      randomFloats(vocab, 3, 1).map((value, id) => value + (id < 2048 ? 9 : 0)),
    ];
    for (const seed of [1, 2, 3]) {
      samplings.forEach((_, r) => reset(r, [11, 193, 204], [9000, 65023]));
      await assertAgree(logits, samplings.map((asked, r) => row(r, { ...asked, seed })), `${seed}`);
    }
  }));

Deno.test("sampler: the short way keeps what float64 keeps", () =>
  withGpu(async (gpu) => {
    const { short, reset, needs, assertAgree } = await bothWays(gpu, VOCAB, ROWS);
    const unit = fc.double({ min: 0, max: 1 - 2 ** -24, noNaN: true });
    const request = fc.record({
      seed: fc.nat(),
      temperature: fc.double({ min: 0.05, max: 4, noNaN: true }),
      topK: fc.integer({ min: 1, max: 64 }),
      topP: fc.option(unit, { nil: 1 }),
      minP: fc.option(unit, { nil: 0 }),
      repetitionPenalty: fc.float({ min: 0.5, max: 3, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: ROWS, maxLength: ROWS }), async (all) => {
        // Rounded logits have many equals.
        const logits = all.map(({ seed }, r) =>
          randomFloats(VOCAB, seed, 4).map((x) => r % 2 ? Math.round(8 * x) / 8 : x)
        );
        all.forEach((_, r) => reset(r, PROMPT));
        await assertAgree(logits, all.map((sampling, r) => row(r, sampling)), JSON.stringify(all));
        assert(needs.short);
        for (const [r, scores] of (await short.scores()).entries()) {
          // Where a sum hits its goal to the last bit, float64 itself is a matter of luck.
          const near = [0, 1e-8, -1e-8].map((shift) => {
            const { topP, minP } = all[r]!;
            const shifted = {
              topP: topP < 1 ? Math.max(0, topP + shift) : 1,
              minP: minP * (1 + 100 * shift),
            };
            return [...expected(logits[r]!, { ...all[r]!, ...shifted }, PROMPT).kept.keys()].join();
          });
          const kept = keptIds(scores).join();
          assert(near.includes(kept), `${kept} kept with ${JSON.stringify(all[r])}`);
        }
      }),
      { numRuns: 25, seed: 21 },
    );
  }));

Deno.test("sampler: a chain of steps counts its tokens on the short way as on the long one", () =>
  withGpu(async (gpu) => {
    const vocab = 3000;
    const steps = 6;
    const { short, long, reset } = await bothWays(gpu, vocab, 2, steps);
    const logits = randomFloats(vocab, 4, 1);
    const samplings = [
      { topK: 40, topP: 0.95, temperature: 0.7, repetitionPenalty: 1.5, seed: 9 },
      { temperature: 0, presencePenalty: 0.4 },
    ];
    samplings.forEach((_, slot) => reset(slot, [1, 2, 2]));
    const plans = Array.from(
      { length: steps },
      (_, step) => samplings.map((asked, slot) => row(slot, asked, { drawIndex: step })),
    );
    for (const rig of [short, long]) {
      samplings.forEach((_, r) =>
        gpu.device.queue.writeBuffer(rig.logits, r * vocab * 4, Float32Array.from(logits))
      );
    }
    const found = await short.runSteps(plans);
    assert.deepEqual(found, await long.runSteps(plans));
    const tokens = found.map(([, greedy]) => greedy!.id);
    assert.equal(new Set(tokens).size, steps, "the penalty changes what comes");
  }));

Deno.test("sampler: one row that asks for more sends its whole step the long way, with the same tokens", () =>
  withGpu(async (gpu) => {
    const { short, reset } = await bothWays(gpu, VOCAB, 2);
    const asked = { topK: 40, topP: 0.9, temperature: 1.3, seed: 5 };
    const logits = [randomFloats(VOCAB, 1, 3), randomFloats(VOCAB, 2, 3)];
    const usual = row(0, asked);
    const more = [
      row(1, { topK: 0 }),
      row(1, { topK: 65 }),
      row(1, { topK: 64, typicalP: 0.9 }),
      row(1, { topK: 64 }, { topTokens: 1 }),
      row(1, { temperature: 0 }, { topTokens: 1 }),
    ];
    const fits = [
      row(1, { topK: 64, typicalP: 1 }),
      row(1, { topK: 0, typicalP: 0.5, temperature: 0 }),
      row(1, { topK: 0, typicalP: 0.5 }, { forced: 7 }),
    ];
    const [alone] = await short.run(logits.slice(0, 1), [usual]);
    for (const [rows, shortlist] of [[more, false], [fits, true]] as const) {
      for (const other of rows) {
        assert.equal(short.sampler.upload([usual, other]).shortlist, shortlist);
        reset(0, []);
        const [beside] = await short.run(logits, [usual, other]);
        assert.deepEqual(beside, alone, JSON.stringify(other));
      }
    }
  }));

Deno.test("sampler: logits that are no distribution are reported on the short way too", () =>
  withGpu(async (gpu) => {
    const { short } = await bothWays(gpu, VOCAB, 4);
    const good = randomFloats(VOCAB, 1, 3);
    const bad = [NaN, Infinity, -Infinity].map((value) => {
      const logits = good.slice();
      return value === -Infinity ? logits.fill(value) : logits.with(4499, value) as Float32Array;
    });
    const asked = { topK: 40, topP: 0.9, seed: 8 };
    const [alone] = await short.run([good], [row(3, asked)]);
    short.sampler.reset(3, []);
    const all = await short.run([...bad, good], [0, 1, 2, 3].map((slot) => row(slot, asked)));
    assert.deepEqual(all.map(({ invalid }) => invalid), [true, true, true, false]);
    assert(all.every(({ id }) => id < VOCAB));
    assert.deepEqual(all[3], alone);
  }));
