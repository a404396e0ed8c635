import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import { type Truncation, TRUNCATION_BYTES, writeTruncation } from "../../kernels/narrow.ts";
import { powersOfTwo } from "../../kernels/probability.ts";
import { HISTOGRAM_BYTES, truncate } from "../../kernels/truncate.ts";
import { randomFloats, readFloats, runPass, shuffled, withGpu } from "../helpers.ts";

const VOCAB = 2500; // two chunks of 2048, the second one not full
const BINS = 2048;
const OCTAVE = 2 ** 26;

/** What `narrow` knows of a row, as far as a pass over it reads it. */
interface Cut {
  /** Place in the program: the pass to make. */
  step: number;
  prefix?: number;
  low?: number;
  lowId?: number;
  mean?: number;
  limit?: number;
}

/** Makes one pass; returns the bins as whole numbers of 2^-47, and the scores it leaves. */
async function run(scores: Float32Array<ArrayBuffer>, truncation: Truncation, cut: Cut) {
  const { step, prefix = 0, low = 0, lowId = 0, mean = 0, limit = 0 } = cut;
  const parameters = new DataView(new ArrayBuffer(TRUNCATION_BYTES));
  writeTruncation(parameters, 0, truncation);
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const sum = scores.reduce((a, b) => a + Math.exp((b - largest) / truncation.temperature), 0);
  const summary = new Float32Array([0, 0, largest, Math.log(sum), 0, 0]);
  const result = { bins: [] as number[], words: new Uint32Array(), scores };
  await withGpu(async (gpu) => {
    const left = storageFrom(gpu, "scores", scores);
    const histogram = storageFrom(gpu, "histogram", new Uint32Array(HISTOGRAM_BYTES / 4));
    const call = (await truncate(gpu, VOCAB)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      summaries: storageFrom(gpu, "summaries", summary),
      cuts: storageFrom(
        gpu,
        "cuts",
        new Uint32Array([0, 0, step, prefix, low, lowId, mean, limit]),
      ),
      powers: storageFrom(gpu, "powers", powersOfTwo()),
      scores: left,
      histogram,
    });
    runPass(gpu, (pass) => call.dispatch(pass, 1));
    result.words = new Uint32Array(await readOnce(gpu, histogram, HISTOGRAM_BYTES));
    result.bins = Array.from(
      { length: BINS },
      (_, bin) => result.words[2 * bin] * 65536 + result.words[2 * bin + 1],
    );
    result.scores = Float32Array.from(await readFloats(gpu, left));
  });
  return result;
}

/** The bits of a float, turned so that they order as the floats do. */
function sortKey(score: number): number {
  const [bits] = new Uint32Array(new Float32Array([score]).buffer);
  return (bits & 0x80000000 ? ~bits : bits | 0x80000000) >>> 0;
}

/** log2 of the largest probability over this one. */
function octaves(scores: Float32Array, id: number, temperature: number): number {
  const largest = scores.reduce((a, b) => Math.max(a, b));
  return (largest - scores[id]) / temperature * Math.LOG2E;
}

const KEEP_ALL: Truncation = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };
const TOP_K = { ...KEEP_ALL, topK: 5 };

Deno.test("truncate: top-k counts tokens by the first, next and last bits of their scores", async () => {
  const scores = randomFloats(VOCAB, 1, 3);
  scores[9] = -Infinity;
  const keys = [...scores].map(sortKey);
  const [wanted] = keys;
  const digits = [
    { prefix: 0, matches: () => true, bin: (key: number) => key >>> 21 },
    {
      prefix: wanted >>> 21,
      matches: (key: number) => key >>> 21 === wanted >>> 21,
      bin: (key: number) => (key >>> 10) & 2047,
    },
    {
      prefix: wanted >>> 10,
      matches: (key: number) => key >>> 10 === wanted >>> 10,
      bin: (key: number) => key & 1023,
    },
  ];
  for (const [step, { prefix, matches, bin }] of digits.entries()) {
    const expected = new Array<number>(BINS).fill(0);
    keys.forEach((key, id) => id !== 9 && matches(key) && expected[bin(key)]++);
    const { bins } = await run(scores, TOP_K, { step, prefix });
    assert.deepEqual(bins, expected, `digit ${step}`);
  }
});

Deno.test("truncate: what was cut before is not counted", async () => {
  const scores = new Float32Array(VOCAB).map((_, id) => id % 4);
  const cut = { step: 0, low: sortKey(2), lowId: 1000 };
  const { bins } = await run(scores, TOP_K, cut);
  const kept = [...scores.keys()].filter((id) =>
    scores[id] === 3 || scores[id] === 2 && id >= 1000
  );
  assert.equal(bins.reduce((a, b) => a + b), kept.length);
});

Deno.test("truncate: probabilities are right to 2^-24, whatever the temperature", async () => {
  for (const [scale, temperature] of [[3, 1], [5, 1.7], [0.01, 0.02], [1e4, 700], [20, 0.5]]) {
    const scores = randomFloats(VOCAB, 5, scale);
    const truncation = { ...KEEP_ALL, temperature, topP: 0.9 };
    const { bins, words } = await run(scores, truncation, { step: 0 });
    const expected = new Array<number>(BINS).fill(0);
    for (const [id, score] of scores.entries()) {
      expected[sortKey(score) >>> 21] += 2 ** -octaves(scores, id, temperature);
    }
    // All are scaled by one power of two that keeps the sum within one.
    const total = bins.reduce((a, b) => a + b);
    const sum = expected.reduce((a, b) => a + b);
    assert(total <= 2 ** 47 && total >= 2 ** 45, `scale ${scale}: total ${total}`);
    const unit = 2 ** Math.round(Math.log2(total / sum));
    for (const [bin, value] of bins.entries()) {
      // Each token may be off by a unit in the last place beside the relative error.
      const error = Math.abs(value - expected[bin] * unit);
      assert(error <= expected[bin] * unit * 2 ** -24 + VOCAB, `scale ${scale}: ${bin}: ${value}`);
    }
    const order = shuffled(VOCAB, 6);
    const again = await run(scores.map((_, i) => scores[order[i]]), truncation, { step: 0 });
    assert.deepEqual(again.words, words, "sums do not depend on the order");
  }
});

Deno.test("truncate: in the last pass of top-p, equal scores are counted", async () => {
  const scores = new Float32Array(VOCAB).map((_, id) => id % 5);
  const key = sortKey(3);
  const { words } = await run(scores, { ...KEEP_ALL, topP: 0.5 }, { step: 2, prefix: key >>> 10 });
  const ties = [...words.subarray(BINS, BINS + 1024).entries()].filter(([, count]) => count > 0);
  assert.deepEqual(ties, [[key & 1023, VOCAB / 5]]);
});

Deno.test("truncate: typical-p ranks by distance from the mean, which it sums first", async () => {
  const temperature = 1.3;
  const scores = randomFloats(VOCAB, 8, 4);
  const truncation = { ...KEEP_ALL, temperature, typicalP: 0.9 };
  const { bins } = await run(scores, truncation, { step: 0 });
  const half = (from: number) => bins.slice(from, from + 1024).reduce((a, b) => a + b);
  const down = [...scores.keys()].map((id) => octaves(scores, id, temperature));
  const weights = down.map((x) => 2 ** -x);
  const mean = weights.reduce((sum, w, id) => sum + w * down[id], 0) /
    weights.reduce((a, b) => a + b);
  const found = half(1024) / half(0) * 64;
  assert(Math.abs(found - mean) < 1e-7, `${found}, expected ${mean}`);

  // Ranks are 5 bits of octaves and 26 behind the point: the first digit is of 1/32 octave.
  const near = await run(scores, truncation, { step: 1, mean: Math.round(mean * OCTAVE) });
  const filled = near.bins.flatMap((value, bin) => value > 0 ? [bin] : []);
  const nearest = Math.min(...down.map((x) => Math.abs(x - mean)));
  assert.equal(filled[0], Math.floor(nearest * 32));

  const limit = 2.5;
  const cut = { step: 4, mean: Math.round(mean * OCTAVE), limit: Math.round(limit * OCTAVE) };
  const applied = await run(scores, truncation, cut);
  for (const [id, score] of applied.scores.entries()) {
    const kept = Math.abs(down[id] - mean) <= limit;
    assert.equal(score, kept ? scores[id] : -Infinity);
  }
  assert(applied.words.every((word) => word === 0));
});

Deno.test("truncate: a row whose program is over stays as it is", async () => {
  const scores = randomFloats(VOCAB, 9);
  const { words, scores: left } = await run(scores, TOP_K, { step: 3, low: 0xffffffff });
  assert(words.every((word) => word === 0));
  assert.deepEqual(left, scores);
});
