/** The simulation's parts, each against a plainer one: timeline, cache, chance, rates. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { Chance } from "../../../model/simulate/chance.ts";
import { mixedSpeeds } from "../../../model/simulate/plan.ts";
import { PrefixCache } from "../../../model/simulate/prefix_cache.ts";
import { H200, parseRates, rateTable } from "../../../model/simulate/rates.ts";
import { Timeline } from "../../../model/simulate/timeline.ts";

Deno.test("things happen in order of time, then of planning; later ones wait", () => {
  fc.assert(fc.property(fc.array(fc.nat(20)), fc.nat(20), (times, end) => {
    const timeline = new Timeline();
    const happened: [number, number][] = [];
    times.forEach((at, i) => timeline.plan(at, () => happened.push([timeline.now, i])));
    timeline.runUntil(end);
    const expected = times.map((at, i) => [at, i]).filter(([at]) => at! <= end)
      .sort(([a], [b]) => a! - b!);
    assert.deepEqual(happened, expected);
    assert.equal(timeline.now, end);
  }));
});

Deno.test("what happens plans what follows; the past cannot be planned", () => {
  const timeline = new Timeline();
  const seen: number[] = [];
  timeline.plan(1, () => timeline.plan(2, () => seen.push(timeline.now)));
  timeline.runUntil(5);
  assert.deepEqual(seen, [2]);
  assert.throws(() => timeline.plan(4, () => {}), RangeError);
  assert.throws(() => timeline.plan(NaN, () => {}), RangeError);
});

/** The same rules with a list of blocks: each names its dialogue and place in it. */
class PlainCache {
  /** Oldest dialogue first, its blocks in order. */
  idle: [key: string, blocks: number[]][] = [];
  constructor(public free: number) {}

  take(key: string, blocks: number): number | undefined {
    const own = this.idle.find(([name]) => name === key)?.[1] ?? [];
    const all = this.free + this.idle.reduce((sum, [, list]) => sum + list.length, 0);
    if (blocks > all) return undefined;
    this.idle = this.idle.filter(([name]) => name !== key);
    this.free += own.length;
    for (; this.free < blocks; this.free++) {
      this.idle[0]![1].pop();
      this.idle = this.idle.filter(([, list]) => list.length > 0);
    }
    this.free -= blocks;
    return Math.min(own.length, blocks);
  }

  leave(key: string, reserved: number, kept: number): void {
    this.free += reserved - kept;
    if (kept > 0) this.idle.push([key, Array.from({ length: kept }, (_, i) => i)]);
  }
}

Deno.test("the cache does what a plain list of blocks does, and loses none", () => {
  const steps = fc.array(fc.record({
    key: fc.constantFrom(..."abcdef"),
    blocks: fc.integer({ min: 1, max: 12 }),
    kept: fc.nat(12),
  }));
  fc.assert(fc.property(steps, (steps) => {
    const [cache, plain] = [new PrefixCache(20), new PlainCache(20)];
    const running = new Map<string, [number, number]>();
    for (const { key, blocks, kept } of steps) {
      const turn = running.get(key);
      if (turn) {
        running.delete(key);
        for (const one of [cache, plain]) one.leave(key, ...turn);
      } else {
        const held = cache.take(key, blocks);
        assert.equal(held, plain.take(key, blocks));
        if (held !== undefined) running.set(key, [blocks, Math.min(kept, blocks)]);
      }
      const reserved = [...running.values()].reduce((sum, [blocks]) => sum + blocks, 0);
      assert.equal(cache.available + reserved, 20);
      for (const key of "abcdef") {
        const list = plain.idle.find(([name]) => name === key)?.[1] ?? [];
        assert.equal(cache.held(key), list.length);
      }
    }
  }));
});

Deno.test("chance is even, exponential, repeatable, and another one for another stream", () => {
  const draw = (seed: number, stream: string) => {
    const chance = new Chance(seed, stream);
    return Array.from({ length: 100_000 }, () => chance.even());
  };
  const values = draw(1, "a");
  assert.deepEqual(draw(1, "a").slice(0, 9), values.slice(0, 9));
  for (const other of [draw(2, "a"), draw(1, "b")]) {
    // The correlation of independent numbers is within 4 standard errors of 0.
    const product = values.reduce((sum, x, i) => sum + (x - 0.5) * (other[i]! - 0.5), 0) * 12;
    assert(Math.abs(product / values.length) < 4 / Math.sqrt(values.length));
  }
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = values.filter((x) => Math.floor(x * 10) === tenth).length / values.length;
    assert(Math.abs(share - 0.1) < 0.005, `${share}`);
  }
  const chance = new Chance(3, "c");
  const times = Array.from({ length: 100_000 }, () => chance.exponential(5));
  assert(Math.abs(times.reduce((a, b) => a + b) / times.length / 5 - 1) < 0.02);
  const beyond = times.filter((time) => time > 10).length / times.length;
  assert(Math.abs(beyond - Math.exp(-2)) < 0.005);
});

Deno.test("a table of rates: its entries, lines between them, the nearest outside", () => {
  const rate = rateTable({ 10: 100, 20: 300, 5: 90 });
  assert.deepEqual([1, 5, 10, 15, 20, 99].map(rate), [90, 90, 100, 200, 300, 300]);
  assert.equal(rateTable({ 7: 3 })(1), 3);
});

Deno.test("steps of answers and prompts: as many rows as 40 ms hold, at most 256", () => {
  // 2000 rows a second: 80 rows.
  assert.deepEqual(mixedSpeeds(20, () => 2000), { answer: 25, prompt: 25 * 60 });
  assert.deepEqual(mixedSpeeds(56, () => 25_600_000), { answer: 100_000, prompt: 100_000 * 200 });
  // 100 answers leave no room: 108 rows take 54 ms.
  const { answer, prompt } = mixedSpeeds(100, () => 2000);
  assert(Math.abs(answer - 2000 / 108) < 1e-9 && Math.abs(prompt - 8 * 2000 / 108) < 1e-9);
});

Deno.test("a file of rates is read, or refused with the place", () => {
  assert.deepEqual(parseRates(JSON.stringify(H200)), H200);
  const refused = (change: object) => () => parseRates(JSON.stringify({ ...H200, ...change }));
  assert.throws(() => parseRates("{"), /no JSON/);
  assert.throws(refused({ source: undefined }), /^Error: source: /);
  assert.throws(refused({ decode_tok_s: {} }), /^Error: decode_tok_s: expected an entry/);
  assert.throws(refused({ decode_tok_s: { 8: -1 } }), /^Error: decode_tok_s\.8: /);
  assert.throws(refused({ decode_tok_s: { few: 9 } }), /^Error: decode_tok_s/);
  assert.throws(refused({ overhead: 1 }), /overhead/);
});

Deno.test("the H200's rates are those of the bench's file", async () => {
  const file = "2026-11-25-h200-persistent.json";
  const url = new URL(`../../bench/results/${file}`, import.meta.url);
  const bench = JSON.parse(await Deno.readTextFile(url));
  assert(H200.source.includes(file) && H200.source.includes("ASSUMED"));
  assert.equal(H200.decode_tok_s[1], Math.round(bench.decode_tok_s[128]));
  const prefill = Object.entries(bench.prefill_tok_s as Record<string, number>);
  assert.deepEqual(
    H200.prefill_tok_s,
    Object.fromEntries(prefill.map(([tokens, rate]) => [tokens, Math.round(rate)])),
  );
  const overhead = bench.ttft_ms - 35 / bench.prefill_tok_s[35] * 1000;
  assert.equal(H200.overhead_ms, Math.round(overhead));
});
