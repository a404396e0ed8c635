/** Figures of answers that were made up, worked out by hand. */
import assert from "node:assert/strict";
import type { Answer } from "../../../../routes/bench/load/client.ts";
import { percentilesOf, Tally } from "../../../../routes/bench/load/tally.ts";
import { words } from "../../../../routes/bench/load/words.ts";

function answer(sent: number, times: number[], tokens: number): Answer {
  const [first, last] = [times[0]!, times.at(-1)!];
  const usage = { tokens, promptTokens: 10, cachedTokens: undefined, counted: true };
  return { sent, first, last, times, text: "x", ...usage };
}

Deno.test("tally: percentiles are nearest ranks", () => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i);
  assert.deepEqual(percentilesOf(values), { p50: 100, p90: 180, p99: 198 });
  assert.deepEqual(percentilesOf([5]), { p50: 5, p90: 5, p99: 5 });
  assert.equal(percentilesOf([]), null);
});

Deno.test("tally: speeds are of all tokens in all the time, gaps between events", async () => {
  const tally = new Tally();
  const { signal } = new AbortController();
  // 41 tokens in 2 s, and 10 tokens in 1 s; 51 in the 3 s from first to last.
  const all = [
    answer(1000, [1200, 1800, 3000], 41),
    answer(3000, [3100, 4000], 10),
  ];
  for (const one of all) await tally.count(Promise.resolve(one), signal);
  const figures = tally.figures();
  assert.equal(figures.requests, 2);
  assert.equal(figures.seconds, 3);
  assert.equal(figures.tokens_per_s, 17);
  assert.equal(figures.answer_tokens, 25.5);
  assert.equal(figures.prompt_tokens, 10);
  assert.deepEqual(figures.ttft_ms, { p50: 100, p90: 200, p99: 200 });
  assert.deepEqual(figures.gap_ms, { p50: 900, p90: 1200, p99: 1200 });
  // 1800 ms for 40 tokens, 900 ms for 9.
  assert.deepEqual(figures.per_token_ms, { p50: 45, p90: 100, p99: 100 });
  assert.equal(figures.stream_tokens_per_s, (20.5 + 10) / 2);
  assert.equal(figures.slowest_to_mean, 10 / 15.25);
});

Deno.test("tally: a fault of ours is no error of the server's", async () => {
  const { signal } = new AbortController();
  const fault = Promise.reject(new TypeError("ours"));
  await assert.rejects(new Tally().count(fault, signal), TypeError);
});

Deno.test("words: as many as asked for, as a turn of a dialogue", () => {
  for (const count of [1, 12, 13, 500]) {
    const text = words(count);
    assert.match(text, /^- [^\n]+\n-$/);
    assert.equal(text.slice(2, -2).split(" ").length, count);
  }
  // Texts of one length have the same words, in an order of their own.
  const [one, other] = [words(600), words(600)];
  assert.notEqual(one.slice(0, 99), other.slice(0, 99));
  assert.equal(one.length, other.length);
});
