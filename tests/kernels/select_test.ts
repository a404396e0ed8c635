import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import {
  type Choice,
  CHOICE_BYTES,
  readResult,
  RESULT_BYTES,
  writeChoice,
} from "../../kernels/choose.ts";
import { DRAW_BYTES, writeDraw } from "../../kernels/draw.ts";
import { type Truncation, TRUNCATION_BYTES, writeTruncation } from "../../kernels/narrow.ts";
import { candidateBytes } from "../../kernels/penalize.ts";
import { powersOfTwo } from "../../kernels/probability.ts";
import { canSelect, select } from "../../kernels/select.ts";
import { poisoned, randomFloats, runPass, withGpu } from "../helpers.ts";
import { exponential } from "./philox.ts";

const VOCAB = 4500; // three chunks, the last one not full
const CHUNK = 2048;
const CHUNKS = 3;
const OFF: Omit<Truncation, "temperature"> = { topK: 0, topP: 1, minP: 0, typicalP: 1 };

interface Row {
  scores: Float32Array;
  truncation?: Partial<Omit<Truncation, "temperature">>;
  mode?: Choice["mode"];
  temperature?: number;
  seed?: number;
  forced?: number;
}

/** Runs the kernel on rows whose slots are their own; logits are twice the scores. */
async function run(rows: Row[]) {
  const bytes = (each: number) => new DataView(new ArrayBuffer(rows.length * each));
  const truncations = bytes(TRUNCATION_BYTES);
  const draws = bytes(DRAW_BYTES);
  const choices = bytes(CHOICE_BYTES);
  const parts = bytes(CHUNKS * 24);
  const candidates = bytes(candidateBytes(CHUNKS));
  for (const [r, row] of rows.entries()) {
    const { truncation = {}, mode = "drawn", temperature = 1, seed = r, forced = 0 } = row;
    writeTruncation(truncations, r, { ...OFF, ...truncation, temperature });
    writeDraw(draws, r, { seed, index: 5, temperature: mode === "drawn" ? temperature : 0 });
    writeChoice(choices, r, { slot: r, mode, forced, top: 0, temperature });
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const first = chunk * CHUNK;
      const own = row.scores.subarray(first, first + CHUNK);
      const ids = [...own.keys()].filter((i) => own[i]! > -Infinity)
        .sort((a, b) => own[b]! - own[a]! || a - b);
      const at = (r * CHUNKS + chunk) * 24;
      const peak = (offset: number, values: Float32Array, t: number) => {
        const largest = ids.length > 0 ? values[ids[0]!]! : -3.4028234e38;
        parts.setFloat32(at + offset, largest, true);
        const sum = ids.reduce((sum, i) => sum + Math.exp((values[i]! - largest) / t), 0);
        parts.setFloat32(at + offset + 4, sum, true);
      };
      peak(0, own.map((score) => 2 * score), 1);
      peak(8, own, temperature);
      parts.setUint32(at + 16, first + (ids[0] ?? 0), true);
      for (const [rank, i] of ids.slice(0, (truncation.topK ?? 0) + 1).entries()) {
        const pair = r * candidateBytes(CHUNKS) + (rank * CHUNKS + chunk) * 8;
        candidates.setUint32(pair, sortKey(own[i]!), true);
        candidates.setUint32(pair + 4, first + i, true);
      }
    }
  }
  const all = Float32Array.from(rows.flatMap(({ scores }) => [...scores]));
  const found = { results: [] as ReturnType<typeof readResult>[], lows: [] as number[][] };
  const remembered = { counts: new Uint32Array(), sampled: new Uint32Array() };
  await withGpu(async (gpu) => {
    const results = poisoned(gpu, "results", rows.length * RESULT_BYTES / 4);
    const cuts = poisoned(gpu, "cuts", rows.length * 8);
    const counts = storageFrom(gpu, "counts", new Uint32Array(rows.length * VOCAB));
    const sampled = storageFrom(gpu, "sampled", new Uint32Array(rows.length).fill(77));
    const call = (await select(gpu, VOCAB)).bind({
      truncations: storageFrom(gpu, "truncations", truncations),
      draws: storageFrom(gpu, "draws", draws),
      choices: storageFrom(gpu, "choices", choices),
      parts: storageFrom(gpu, "parts", parts),
      candidates: storageFrom(gpu, "candidates", candidates),
      powers: storageFrom(gpu, "powers", powersOfTwo()),
      logits: storageFrom(gpu, "logits", all.map((score) => 2 * score)),
      scores: storageFrom(gpu, "scores", all),
      cuts,
      results,
      counts,
      sampled,
    });
    runPass(gpu, (pass) => call.dispatch(pass, rows.length));
    const view = new DataView(await readOnce(gpu, results, results.size));
    found.results = rows.map((_, r) => readResult(view, r * RESULT_BYTES, 0));
    const words = new Uint32Array(await readOnce(gpu, cuts, cuts.size));
    found.lows = rows.map((_, r) => [...words.subarray(8 * r + 4, 8 * r + 6)]);
    remembered.counts = new Uint32Array(await readOnce(gpu, counts, counts.size));
    remembered.sampled = new Uint32Array(await readOnce(gpu, sampled, sampled.size));
  });
  return { ...found, ...remembered };
}

function sortKey(score: number): number {
  const [bits] = new Uint32Array(new Float32Array([score === 0 ? 0 : score]).buffer);
  return (bits! & 0x80000000 ? ~bits! : bits! | 0x80000000) >>> 0;
}

/** The winner of the race among these ids, and log sum exp((score - largest) / temperature). */
function race(scores: Float32Array, ids: number[], seed: number, temperature: number) {
  const largest = Math.max(...scores);
  const logit = (id: number) => (scores[id]! - largest) / temperature;
  const speed = (id: number) => logit(id) - Math.log(exponential(seed, 5, id));
  const winner = ids.reduce((a, b) => speed(b) > speed(a) ? b : a);
  return {
    winner,
    logprob: logit(winner) - Math.log(ids.reduce((s, id) => s + Math.exp(logit(id)), 0)),
  };
}

function assertDrawn(found: Awaited<ReturnType<typeof run>>, r: number, row: Row, ids: number[]) {
  const { winner, logprob } = race(row.scores, ids, r, row.temperature ?? 1);
  const { id, invalid, processedLogprob } = found.results[r]!;
  assert.deepEqual([id, invalid], [winner, false], `row ${r}`);
  assert(Math.abs(processedLogprob - logprob) < 1e-5, `row ${r}: ${processedLogprob}, ${logprob}`);
  assert.equal(found.sampled[r], winner);
  const counted = found.counts.subarray(r * VOCAB, (r + 1) * VOCAB);
  assert.equal(counted[winner], 1);
  assert.equal(counted.reduce((a, b) => a + b), 1);
}

Deno.test("select: of the k best the race has its winner", async () => {
  const rows = Array.from({ length: 64 }, (_, r) => ({
    scores: randomFloats(VOCAB, r, 3),
    truncation: { topK: r + 1 },
    temperature: [0.4, 1, 3][r % 3]!,
  }));
  const found = await run(rows);
  for (const [r, row] of rows.entries()) {
    const ids = [...row.scores.keys()].sort((a, b) => row.scores[b]! - row.scores[a]!);
    assertDrawn(found, r, row, ids.slice(0, r + 1));
    assert.deepEqual(found.lows[r], [sortKey(row.scores[ids[r]!]!), 0]);
  }
});

Deno.test("select: all k best in one chunk, one thread's share, or where fewer are left", async () => {
  const few = new Float32Array(VOCAB).fill(-Infinity);
  few.set([1, 2], 10);
  few[4499] = 3;
  const shapes = [
    Float32Array.from({ length: VOCAB }, (_, id) => id / 1000),
    Float32Array.from({ length: VOCAB }, (_, id) => -id / 1000),
    Float32Array.from({ length: VOCAB }, (_, id) => (id % 256 < 5 ? 5 : 0) + id / 1e4),
    few,
  ];
  const rows = shapes.map((scores) => ({ scores, truncation: { topK: 40 } }));
  const found = await run(rows);
  for (const [r, { scores }] of rows.entries()) {
    const ids = [...scores.keys()].filter((id) => scores[id]! > -Infinity)
      .sort((a, b) => scores[b]! - scores[a]!).slice(0, 40);
    assertDrawn(found, r, rows[r]!, ids);
  }
});

Deno.test("select: equals of the k-th, listed or not, are kept; top-p drops its low ids first", async () => {
  // One above, then 200 equals, 150 of them in one chunk: a list has 41 of those.
  const scores = new Float32Array(VOCAB).fill(-9);
  scores[3000] = 1;
  const equals = [
    ...Array.from({ length: 150 }, (_, i) => 100 + 7 * i),
    ...Array.from({ length: 50 }, (_, i) => 2100 + i),
  ];
  for (const id of equals) scores[id] = 0;
  // e + 200 in all: dropping 0.5 leaves room for 101 of the equals, which weigh 1 each.
  const rows: Row[] = [
    { scores, truncation: { topK: 40 } },
    { scores, truncation: { topK: 40, topP: 0.5 } },
    { scores, truncation: { topK: 40, minP: 0.5 } },
    { scores, truncation: { topK: 40, topP: 0.01 } },
    { scores, truncation: { topK: 1, topP: 0.5 } },
  ];
  const found = await run(rows);
  assertDrawn(found, 0, rows[0]!, [3000, ...equals].sort((a, b) => a - b));
  assert.deepEqual(found.lows[0], [sortKey(0), 0]);
  assertDrawn(found, 1, rows[1]!, [3000, ...equals.slice(101)]);
  assert.deepEqual(found.lows[1], [sortKey(0), equals[101]]);
  assertDrawn(found, 2, rows[2]!, [3000]);
  assertDrawn(found, 3, rows[3]!, [3000]);
  assert.deepEqual(found.lows[3], [sortKey(1), 0]);
  assertDrawn(found, 4, rows[4]!, [3000]);
});

Deno.test("select: greedy and forced rows, and what is remembered of them", async () => {
  const scores = randomFloats(VOCAB, 3, 2);
  scores[4100] = 20;
  const found = await run([
    { scores, mode: "greedy" },
    { scores, mode: "forced", forced: 9 },
    { scores: new Float32Array(VOCAB).fill(-Infinity), mode: "greedy" },
  ]);
  const [greedy, forced, nothing] = found.results;
  assert.deepEqual([greedy!.id, forced!.id], [4100, 9]);
  assert.deepEqual([greedy!.invalid, forced!.invalid, nothing!.invalid], [false, false, true]);
  const logSum = (scale: number) =>
    Math.log(scores.reduce((sum, score) => sum + Math.exp(scale * (score - 20)), 0));
  assert(Math.abs(forced!.logprob - (2 * (scores[9]! - 20) - logSum(2))) < 1e-5);
  assert(Math.abs(forced!.processedLogprob - (scores[9]! - 20 - logSum(1))) < 1e-5);
  assert.deepEqual([...found.sampled.subarray(0, 2)], [4100, 77]);
  assert.equal(found.counts[4100], 1);
  assert.equal(found.counts[VOCAB + 9], 0);
});

Deno.test("select: a GPU that binds eight buffers at most cannot", () =>
  withGpu((gpu) => {
    assert(canSelect(gpu));
    const limits = { ...gpu.device.limits, maxStorageBuffersPerShaderStage: 8 };
    assert(!canSelect({ device: { limits } as GPUDevice }));
    return Promise.resolve();
  }));
