import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import {
  narrow,
  type Truncation,
  TRUNCATION_BYTES,
  truncationProgram,
  writeTruncation,
} from "../../kernels/narrow.ts";
import { HISTOGRAM_BYTES } from "../../kernels/truncate.ts";
import { runPass, withGpu } from "../helpers.ts";

const VOCAB = 2500;
const KEEP_ALL: Truncation = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };
/** The weight of everything, about as large as it gets. */
const WHOLE = 2 ** 46;

/** Words of a row's state. */
const STATE = ["goalLow", "goalHigh", "step", "prefix", "low", "lowId", "mean", "limit"] as const;
type Cut = Record<typeof STATE[number], number>;
const START: Cut = {
  goalLow: 0,
  goalHigh: 0,
  step: 0,
  prefix: 0,
  low: 0,
  lowId: 0,
  mean: 0,
  limit: 0,
};

interface Input {
  truncation: Partial<Truncation>;
  cut?: Partial<Cut>;
  /** Weights by bin, 2^47 being all there can be. */
  bins?: Record<number, number>;
  /** Tokens by bin, in the last pass of top-p. */
  ties?: Record<number, number>;
  scores?: Float32Array<ArrayBuffer>;
  /** The largest score. */
  largest?: number;
}

/** One op of the row's program. */
async function run(input: Input): Promise<Cut> {
  const { truncation, cut = {}, bins = {}, ties = {}, largest = 0 } = input;
  const parameters = new DataView(new ArrayBuffer(TRUNCATION_BYTES));
  writeTruncation(parameters, 0, { ...KEEP_ALL, ...truncation });
  const words = new Uint32Array(HISTOGRAM_BYTES / 4);
  for (const [bin, weight] of Object.entries(bins)) {
    words[2 * Number(bin)] = Math.floor(weight / 65536);
    words[2 * Number(bin) + 1] = weight % 65536;
  }
  for (const [bin, count] of Object.entries(ties)) words[2048 + Number(bin)] = count;
  const state = { ...START, ...cut };
  const found = { ...START };
  await withGpu(async (gpu) => {
    const cuts = storageFrom(gpu, "cuts", Uint32Array.from(STATE, (name) => state[name]));
    const histogram = storageFrom(gpu, "histogram", words);
    const call = (await narrow(gpu, VOCAB)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      summaries: storageFrom(gpu, "summaries", new Float32Array([0, 0, largest, 0, 0, 0])),
      scores: storageFrom(gpu, "scores", input.scores ?? new Float32Array(VOCAB)),
      cuts,
      histogram,
    });
    runPass(gpu, (pass) => call.dispatch(pass, 1));
    const after = new Uint32Array(await readOnce(gpu, cuts, cuts.size));
    STATE.forEach((name, i) => found[name] = after[i]);
    const cleared = new Uint32Array(await readOnce(gpu, histogram, HISTOGRAM_BYTES));
    assert(cleared.every((word) => word === 0), "the histogram is cleared for the next pass");
  });
  return found;
}

function goal({ goalLow, goalHigh }: Cut): number {
  return goalHigh * 2 ** 32 + goalLow;
}

/** The bits of a float, turned so that they order as the floats do. */
function key(score: number): number {
  const [bits] = new Uint32Array(new Float32Array([score]).buffer);
  return (bits & 0x80000000 ? ~bits : bits | 0x80000000) >>> 0;
}

Deno.test("narrow: the program follows Hugging Face's order and leaves out what is off", () => {
  const all = { temperature: 2, topK: 1, topP: 0.5, minP: 0.1, typicalP: 0.5 };
  const one = (step: Partial<Truncation>) => truncationProgram({ ...KEEP_ALL, ...step });
  assert.deepEqual(truncationProgram(all), [
    ...one({ topK: 1 }),
    ...one({ topP: 0.5 }),
    ...one({ minP: 0.1 }),
    ...one({ typicalP: 0.5 }),
  ]);
  assert.deepEqual(truncationProgram(KEEP_ALL), []);
});

Deno.test("narrow: top-k goes down to the bin of the k-th largest", async () => {
  const bins = { 3: 10, 700: 5, 2047: 4 };
  for (const [k, bin, rest] of [[1, 2047, 3], [4, 2047, 0], [5, 700, 4], [9, 700, 0], [10, 3, 9]]) {
    const cut = await run({ truncation: { topK: k }, bins });
    assert.deepEqual([cut.step, cut.prefix, goal(cut)], [1, bin, rest], `k = ${k}`);
  }
  const more = await run({ truncation: { topK: 100 }, bins });
  assert.deepEqual([more.prefix, goal(more)], [3, 0]);
});

Deno.test("narrow: the last digit of top-k is the key below which scores go", async () => {
  const cut = { step: 2, prefix: 0x12345, goalLow: 6 };
  const found = await run({ truncation: { topK: 2 }, cut, bins: { 1: 6, 5: 3, 9: 1 } });
  assert.deepEqual(
    [found.step, found.prefix, found.low, found.lowId],
    [3, 0, 0x12345 * 1024 + 5, 0],
  );
});

Deno.test("narrow: top-p drops while the sum is at most 1 - p, exactly", async () => {
  const bins = { 10: WHOLE / 4, 11: WHOLE / 4, 2000: WHOLE / 2 };
  const half = await run({ truncation: { topP: 0.5 }, bins });
  assert.deepEqual([half.prefix, goal(half)], [2000, 0]);
  const more = await run({ truncation: { topP: 0.5 + 2 ** -40 }, bins });
  assert.equal(more.prefix, 11);
  // p = 0 drops all but the last unit of weight, however small the fraction kept.
  for (const topP of [0, 1e-30, 1e-9]) {
    assert.equal((await run({ truncation: { topP }, bins })).prefix, 2000, `p = ${topP}`);
  }
  const almost = await run({ truncation: { topP: 1 - 2 ** -53 }, bins });
  assert.deepEqual([almost.prefix, goal(almost)], [10, 0]);
});

Deno.test("narrow: of equal scores at top-p's edge the lowest ids are dropped", async () => {
  const scores = new Float32Array(VOCAB).map((_, id) => id % 3 === 1 ? 2 : 1);
  const equal = [...scores.keys()].filter((id) => scores[id] === 2);
  const bin = key(2) & 1023;
  const weight = Math.floor(WHOLE / equal.length) * equal.length;
  for (const dropped of [0, 1, 2, 400, equal.length - 1]) {
    const goalBy = (dropped + 0.5) / equal.length * weight;
    const cut = {
      step: 2,
      prefix: key(2) >>> 10,
      goalLow: Math.floor(goalBy) % 2 ** 32,
      goalHigh: Math.floor(goalBy / 2 ** 32),
    };
    const ties = { [bin]: equal.length };
    const found = await run({
      truncation: { topP: 0.5 },
      cut,
      bins: { [bin]: weight },
      ties,
      scores,
    });
    assert.equal(found.low, key(2));
    assert.equal(found.lowId, dropped === 0 ? 0 : equal[dropped], `${dropped} dropped`);
  }
});

Deno.test("narrow: min-p raises the floor to a distance from the best, never lowers it", async () => {
  const truncation = { minP: 0.25, temperature: 2 };
  const floor = Math.fround(8 - Math.fround(2 * Math.log(4)));
  const found = await run({ truncation, largest: 8, cut: { lowId: 7 } });
  assert.deepEqual([found.low, found.lowId], [key(floor), 0]);
  const higher = await run({ truncation, largest: 8, cut: { low: key(6), lowId: 7 } });
  assert.deepEqual([higher.low, higher.lowId], [key(6), 7]);
  const best = await run({ truncation: { minP: 1 }, largest: 8 });
  assert.equal(best.low, key(8));
});

Deno.test("narrow: typical-p takes the mean from two sums, and stops when the mass is reached", async () => {
  const truncation = { typicalP: 0.75 };
  const sums = { 0: WHOLE / 2, 255: WHOLE / 2, 1024: WHOLE / 64 * 2.5, 1030: WHOLE / 64 };
  const { mean, step } = await run({ truncation, bins: sums });
  assert.deepEqual([mean, step], [3.5 * 2 ** 26, 1]);

  const bins = { 4: WHOLE / 2, 6: WHOLE / 4, 8: WHOLE / 4 };
  const reached = await run({ truncation, cut: { step: 1 }, bins });
  assert.equal(reached.prefix, 6);
  const next = await run({ truncation: { typicalP: 0.7500001 }, cut: { step: 1 }, bins });
  assert.equal(next.prefix, 8);
  assert.equal((await run({ truncation: { typicalP: 0 }, cut: { step: 1 }, bins })).prefix, 4);
  const last = await run({ truncation, cut: { step: 3, prefix: 2 }, bins });
  assert.deepEqual([last.limit, last.low, last.step], [2 * 1024 + 4, 0, 4]);
});
