/**
 * attention and attention_combine together, against softmax(q k) v in float64; the partial sums
 * between them are f32 and held to a tighter bound than the chunks that come out.
 *
 * Knows the layout of rows, block tables, KV blocks and partial sums. Every word of the cache that
 * no sequence wrote is NaN, so reading a masked or foreign key shows.
 */
import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { activationBytes } from "../../kernels/activation.ts";
import { attention, type AttentionShape } from "../../kernels/attention.ts";
import { attentionCombine } from "../../kernels/attention_combine.ts";
import {
  assertNmse,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  shuffled,
  withGpu,
} from "../helpers.ts";
import { softmax } from "../reference.ts";
import { assertChunks, readWords } from "./chunks.ts";
import { makePool, type Pool } from "./kv_pool.ts";

/**
 * Keys, values and queries are the same numbers on both sides, so only f32 arithmetic differs:
 * scores of up to about 10 carry an error of about 1e-6, WGSL's exp(x) one of (3 + 2|x|) ulp, and
 * a weight off by 1e-6 of itself is an NMSE of 1e-12. Ten times that for the tails.
 */
const LIMIT = 1e-11;
/** The same for a single number: six times the square root, relative to the root mean square. */
const ERROR = 2e-5;

/** One query row: its position (it sees keys 0 to position) and its sequence in the pool. */
interface Row {
  position: number;
  sequence: number;
}

/** The heads' outputs, (rows, heads * headDim). */
function expectedOutput(
  { heads, headDim }: AttentionShape,
  pool: Pool,
  rows: Row[],
  q: Float32Array,
): Float64Array {
  const width = heads * headDim;
  const out = new Float64Array(rows.length * width);
  rows.forEach(({ position, sequence }, r) => {
    const keys = pool.sequences[sequence].keys.slice(0, position + 1);
    const { values } = pool.sequences[sequence];
    for (let head = 0; head < heads; head++) {
      const start = r * width + head * headDim;
      const weights = softmax(keys.map((key) => {
        let score = 0;
        for (let d = 0; d < headDim; d++) score += q[start + d] * key[d];
        return score;
      }));
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        weights.forEach((weight, token) => sum += weight * values[token][d]);
        out[start + d] = sum;
      }
    }
  });
  return out;
}

/** What `attention` left, put together in float64: (rows, heads * headDim). */
function combine(
  { heads, headDim }: AttentionShape,
  rows: Row[],
  partial: Float32Array, // (rows, splits, heads, headDim + 2): maximum, weight, sum of values
  splits: number,
  splitKeys: number,
): Float64Array {
  const out = new Float64Array(rows.length * heads * headDim);
  rows.forEach(({ position }, r) => {
    const used = Math.floor(position / splitKeys) + 1;
    for (let head = 0; head < heads; head++) {
      const runs = Array.from({ length: used }, (_, split) => {
        const start = ((r * splits + split) * heads + head) * (headDim + 2);
        return partial.subarray(start, start + headDim + 2);
      });
      const highest = Math.max(...runs.map((run) => run[0]));
      const scales = runs.map((run) => Math.exp(run[0] - highest));
      const total = (i: number) => runs.reduce((sum, run, s) => sum + scales[s] * run[i], 0);
      const weight = total(1);
      for (let d = 0; d < headDim; d++) {
        out[(r * heads + head) * headDim + d] = total(d + 2) / weight;
      }
    }
  });
  return out;
}

/** Runs both kernels with runs of `splitKeys` keys and checks what each of them left. */
async function check(
  gpu: Gpu,
  shape: AttentionShape,
  pool: Pool,
  rows: Row[],
  q: Float32Array<ArrayBuffer>,
  expected: Float64Array,
  splitKeys: number,
): Promise<void> {
  const { heads, headDim } = shape;
  const width = heads * headDim;
  const longest = Math.max(...rows.map((row) => row.position)) + 1;
  const splits = Math.ceil(longest / splitKeys);
  const rowWords = rows.flatMap((r) => [99, r.position, pool.sequences[r.sequence].table, 99]);
  const rowBuffer = storageFrom(gpu, "rows", new Uint32Array(rowWords));
  const partial = poisoned(gpu, "partial", rows.length * splits * heads * (headDim + 2));
  const perm = shuffled(width, splitKeys);
  const y = poisoned(gpu, "y", activationBytes(rows.length, width) / 4);
  const step = uniformFrom(gpu, "step", new Uint32Array([splitKeys, splits]));
  const attend = (await attention(gpu, shape)).bind({
    rows: rowBuffer,
    tables: storageFrom(gpu, "tables", pool.tables),
    q: storageFrom(gpu, "q", q),
    kv: storageFrom(gpu, "kv", pool.kv),
    partial,
    step,
  });
  const together = (await attentionCombine(gpu, shape)).bind({
    rows: rowBuffer,
    partial,
    perm: storageFrom(gpu, "perm", perm),
    y,
    step,
  });
  runPass(gpu, (pass) => {
    attend.dispatch(pass, rows.length, splits);
    together.dispatch(pass, rows.length);
  });
  const what = `${heads} heads, splits of ${splitKeys}`;
  const sums = combine(shape, rows, await readFloats(gpu, partial), splits, splitKeys);
  assertNmse(sums, expected, LIMIT, `partial sums, ${what}`);
  const ordered = rows.flatMap((_, r) => [...perm].map((from) => expected[r * width + from]));
  assertChunks(await readWords(gpu, y, width), ordered, ERROR, what);
}

/** Contexts of 1, 31, 32, 33, 100 and 300 tokens, of three sequences, in no order. */
const LENGTHS = [300, 33, 100];
const ROWS: Row[] = [
  { position: 99, sequence: 0 },
  { position: 32, sequence: 1 },
  { position: 299, sequence: 0 },
  { position: 0, sequence: 2 },
  { position: 31, sequence: 1 },
  { position: 30, sequence: 0 },
  { position: 99, sequence: 2 },
];

for (const headDim of [32, 64, 96, 128]) {
  Deno.test(`attention: any number of heads of ${headDim}, contexts and splits`, () =>
    withGpu(async (gpu) => {
      for (const heads of [1, 3, 5, 8, 9, 71]) {
        const shape = { heads, headDim, block: heads % 3 === 0 ? 64 : 32 };
        const width = heads * headDim;
        const pool = makePool(shape, LENGTHS, (_half, _token, seed) => randomFloats(headDim, seed));
        const q = randomFloats(ROWS.length * width, heads, 8 / Math.sqrt(headDim));
        const expected = expectedOutput(shape, pool, ROWS, q);
        for (const splitKeys of [32, 128, 1024]) {
          await check(gpu, shape, pool, ROWS, q, expected, splitKeys);
        }
      }
    }));
}

Deno.test("attention: extreme scores neither overflow nor lose the small differences", () =>
  withGpu(async (gpu) => {
    const shape = { heads: 3, headDim: 64, block: 32 };
    const width = shape.heads * shape.headDim;
    const rows = [{ position: 69, sequence: 0 }, { position: 40, sequence: 0 }];
    // Whole numbers whose dot products stay below 2^24: exact in f32, whatever the order of adding.
    const whole = (length: number, seed: number) =>
      randomFloats(length, seed, 32).map((value) => Math.round(value));
    // Head 0 spreads over thousands; head 1 sees all keys alike; head 2 sees one huge negative score
    // for all keys, which must not be mistaken for a masked one.
    const q = whole(rows.length * width, 5);
    for (let r = 0; r < rows.length; r++) {
      q.fill(0, r * width + 64, r * width + 192);
      q[r * width + 128] = -1e30;
    }
    const pool = makePool(shape, [70], (half, token, seed) => {
      // To head 0 of the second row, the first key it may not see is far above all others: were it
      // taken into the maximum, every weight would vanish.
      const vector = half === "key" && token === 41 ? q.slice(width, width + 64) : whole(64, seed);
      if (half === "key") vector[0] = 1;
      return vector;
    });
    const expected = expectedOutput(shape, pool, rows, q);
    for (const splitKeys of [32, 128]) {
      await check(gpu, shape, pool, rows, q, expected, splitKeys);
    }
  }));

Deno.test("attention: a shape the kernel was not written for is refused", () =>
  withGpu(async (gpu) => {
    const refused = { name: "GpuError", message: /attention cannot run head dim/ };
    for (const [headDim, block] of [[136, 32], [60, 32], [64, 48]]) {
      await assert.rejects(async () => await attention(gpu, { heads: 1, headDim, block }), refused);
    }
  }));
