import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import { CHOICE_BYTES, readResult, RESULT_BYTES, writeChoice } from "../../kernels/choose.ts";
import { topTokens } from "../../kernels/top_tokens.ts";
import { randomFloats, runPass, withGpu } from "../helpers.ts";

interface Row {
  logits: Float32Array;
  scores: Float32Array;
  temperature: number;
  top: number;
}

const LOG_SUM = 1.25;

/** Both lists of each row; every log-sum is `LOG_SUM`. */
async function run(vocab: number, rows: Row[]) {
  const parameters = new DataView(new ArrayBuffer(rows.length * CHOICE_BYTES));
  const summaries = new Float32Array(rows.length * 6);
  const before = new Float32Array(rows.length * RESULT_BYTES / 4).fill(NaN);
  for (const [r, { logits, scores, temperature, top }] of rows.entries()) {
    writeChoice(parameters, r, { slot: 0, mode: "drawn", forced: 0, top, temperature });
    summaries.set([Math.max(...logits), LOG_SUM, Math.max(...scores)], 6 * r);
    before[r * RESULT_BYTES / 4 + 4] = LOG_SUM;
  }
  const lists: ReturnType<typeof readResult>[] = [];
  await withGpu(async (gpu) => {
    const results = storageFrom(gpu, "results", before);
    const floats = (part: "logits" | "scores") =>
      storageFrom(gpu, part, Float32Array.from(rows.flatMap((row) => [...row[part]])));
    const call = (await topTokens(gpu, vocab)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      summaries: storageFrom(gpu, "summaries", summaries),
      logits: floats("logits"),
      scores: floats("scores"),
      results,
    });
    runPass(gpu, (pass) => call.dispatch(pass, rows.length));
    const view = new DataView(await readOnce(gpu, results, results.size));
    rows.forEach(({ top }, r) => lists.push(readResult(view, r * RESULT_BYTES, top)));
  });
  return lists;
}

function expectedList(values: Float32Array, temperature: number, length: number) {
  const largest = Math.max(...values);
  return [...values.keys()]
    .filter((id) => values[id] > -Infinity)
    .sort((a, b) => values[b] - values[a] || a - b)
    .slice(0, length)
    .map((id) => ({ id, logprob: (values[id] - largest) / temperature - LOG_SUM }));
}

function assertList(found: { id: number; logprob: number }[], expected: typeof found): void {
  assert.deepEqual(found.map(({ id }) => id), expected.map(({ id }) => id));
  found.forEach(({ logprob }, i) =>
    assert(Math.abs(logprob - expected[i].logprob) < 1e-5, `${logprob}, ${expected[i].logprob}`)
  );
}

Deno.test("top_tokens: best first, by the logits and by the scores, the lowest id of equals", async () => {
  const vocab = 3001;
  const rounded = randomFloats(vocab, 2, 3).map((value) => Math.round(value));
  const removed = randomFloats(vocab, 3, 2).map((value) => value > 2 ? -Infinity : value);
  const rows = [
    { logits: randomFloats(vocab, 1, 5), scores: rounded, temperature: 0.5, top: 20 },
    { logits: rounded, scores: removed, temperature: 2, top: 7 },
    { logits: new Float32Array(vocab), scores: new Float32Array(vocab), temperature: 1, top: 20 },
    { logits: removed, scores: rounded, temperature: 1, top: 0 },
    { logits: removed, scores: rounded, temperature: 1, top: 1 },
  ];
  const lists = await run(vocab, rows);
  for (const [r, { logits, scores, temperature, top }] of rows.entries()) {
    assertList(lists[r].top, expectedList(logits, 1, top));
    assertList(lists[r].processedTop, expectedList(scores, temperature, top));
  }
});

Deno.test("top_tokens: neighbours of one thread's share come one after the other", async () => {
  const vocab = 65024;
  const logits = new Float32Array(vocab).fill(-1);
  for (let i = 0; i < 25; i++) logits[5 + 256 * 10 * i] = 25 - i % 5;
  const scores = logits.map((value, id) => id === vocab - 1 ? 99 : -value);
  const [found] = await run(vocab, [{ logits, scores, temperature: 1, top: 20 }]);
  assertList(found.top, expectedList(logits, 1, 20));
  assertList(found.processedTop, expectedList(scores, 1, 20));
});

Deno.test("top_tokens: lists end where no token is left", async () => {
  const one = Float32Array.of(-Infinity, -2, -Infinity);
  const three = Float32Array.of(0, -0, 1);
  const [found] = await run(3, [{ logits: three, scores: one, temperature: 1, top: 20 }]);
  assertList(found.top, [
    { id: 2, logprob: -LOG_SUM },
    { id: 0, logprob: -1 - LOG_SUM },
    { id: 1, logprob: -1 - LOG_SUM },
  ]);
  assertList(found.processedTop, [{ id: 1, logprob: -LOG_SUM }]);
});
