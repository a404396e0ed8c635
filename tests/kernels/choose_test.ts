import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import {
  type Choice,
  CHOICE_BYTES,
  choose,
  readResult,
  RESULT_BYTES,
  writeChoice,
} from "../../kernels/choose.ts";
import { poisoned, runPass, withGpu } from "../helpers.ts";

const VOCAB = 2100; // two chunks
const CHOICE: Choice = { slot: 0, mode: "greedy", forced: 0, top: 0, temperature: 1 };

/** Words of a row's summary: largest and log-sum of logits and scores, best id, invalid. */
function summary(floats: [number, number, number, number], best: number, invalid = 0): number[] {
  const words = new Uint32Array([0, 0, 0, 0, best, invalid]);
  new Float32Array(words.buffer).set(floats);
  return [...words];
}

/** Words of a chunk's winner. */
function runner(speed: number, id: number, sum: number): number[] {
  const words = new Uint32Array([0, id, 0]);
  new Float32Array(words.buffer, 0, 1)[0] = speed;
  new Float32Array(words.buffer, 8, 1)[0] = sum;
  return [...words];
}

Deno.test("choose: greedy, drawn and forced tokens, and what is remembered of them", () =>
  withGpu(async (gpu) => {
    const choices: Choice[] = [
      { ...CHOICE, slot: 2 },
      { ...CHOICE, slot: 0, mode: "drawn", temperature: 0.5 },
      { ...CHOICE, slot: 1, mode: "forced", forced: 9 },
      { ...CHOICE, slot: 3, mode: "drawn" },
      { ...CHOICE, slot: 1, mode: "forced", forced: 10 },
    ];
    const rows = choices.length;
    const parameters = new DataView(new ArrayBuffer(rows * CHOICE_BYTES));
    choices.forEach((choice, row) => writeChoice(parameters, row, choice));
    const summaries = [
      summary([5, 2, 4, 1.5], 7),
      summary([5, 2, 4, 99], 7),
      summary([5, 2, 5, 2], 7),
      summary([0, 0, 0, 0], 0, 1),
      summary([5, 2, 5, 2], 7),
    ];
    const runners = [
      ...[runner(9, 1, 1), runner(99, 2, 1)],
      ...[runner(3, 8, 0.5), runner(4, 2060, 0.25)],
      ...[runner(9, 1, 1), runner(99, 2, 1)],
      ...[runner(-3.4028234e38, 0xffffffff, 0), runner(-3.4028234e38, 0xffffffff, 0)],
      ...[runner(9, 1, 1), runner(99, 2, 1)],
    ];
    const logits = new Float32Array(rows * VOCAB);
    const scores = new Float32Array(rows * VOCAB);
    logits.set([3.5, 1, 2.5, -Infinity], 7);
    scores.set([3, 1], 7);
    logits[VOCAB + 2060] = 1;
    scores[VOCAB + 2060] = 3;
    logits[2 * VOCAB + 9] = scores[2 * VOCAB + 9] = 2.5;
    logits[4 * VOCAB + 10] = scores[4 * VOCAB + 10] = -Infinity;

    const counts = storageFrom(gpu, "counts", new Uint32Array(4 * VOCAB).fill((3 << 16) + 5));
    const sampled = storageFrom(gpu, "sampled", new Uint32Array(4).fill(77));
    const results = poisoned(gpu, "results", rows * RESULT_BYTES / 4);
    const call = (await choose(gpu, VOCAB)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      summaries: storageFrom(gpu, "summaries", Uint32Array.from(summaries.flat())),
      runners: storageFrom(gpu, "runners", Uint32Array.from(runners.flat())),
      logits: storageFrom(gpu, "logits", logits),
      scores: storageFrom(gpu, "scores", scores),
      results,
      counts,
      sampled,
    });
    runPass(gpu, (pass) => call.dispatch(pass, rows));

    const view = new DataView(await readOnce(gpu, results, results.size));
    const found = choices.map((_, row) => readResult(view, row * RESULT_BYTES, 0));
    assert.deepEqual(found.map(({ id }) => id).slice(0, 3), [7, 2060, 9]);
    assert.deepEqual(found.map(({ invalid }) => invalid), [false, false, false, true, false]);
    const expected = [
      [3.5 - 5 - 2, 3 - 4 - 1.5],
      [1 - 5 - 2, (3 - 4) / 0.5 - Math.log(0.75)],
      [2.5 - 5 - 2, 2.5 - 5 - 2],
    ];
    for (const [row, [logprob, processed]] of expected.entries()) {
      assert(Math.abs(found[row].logprob - logprob) < 1e-6, `row ${row}: ${found[row].logprob}`);
      const error = Math.abs(found[row].processedLogprob - processed);
      assert(error < 1e-6, `row ${row}: ${found[row].processedLogprob}`);
    }
    assert.equal(found[4].logprob, -Infinity);
    assert.equal(found[4].processedLogprob, -Infinity);

    const [, slot1, , slot3] = new Uint32Array(await readOnce(gpu, sampled, 16));
    assert.deepEqual([...new Uint32Array(await readOnce(gpu, sampled, 16))], [2060, 77, 7, slot3]);
    assert.equal(slot1, 77);
    assert(slot3 < VOCAB, "an id without meaning still is one that can be embedded");
    const after = new Uint32Array(await readOnce(gpu, counts, counts.size));
    const changed = [...after.entries()].filter(([, count]) => count !== (3 << 16) + 5);
    assert.deepEqual(changed, [
      [2060, (3 << 16) + 6],
      [2 * VOCAB + 7, (3 << 16) + 6],
      [3 * VOCAB + slot3, (3 << 16) + 6],
    ]);
  }));
