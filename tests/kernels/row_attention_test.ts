/**
 * row_attention, against rotation, softmax(q k) v and the appended key and value in float64.
 *
 * Knows the layout of qkv, rows and KV blocks. Words of the cache that no sequence wrote are NaN.
 */
import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { rotaryAngles } from "../../kernels/rotary_append.ts";
import { canAttendRow, rowAttention, type RowAttentionShape } from "../../kernels/row_attention.ts";
import {
  assertNmse,
  assertSame,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  withGpu,
} from "../helpers.ts";
import { rotary, softmax } from "../reference.ts";
import { makePool, type Pool } from "./kv_pool.ts";

const THETA = 10000;
/** As for attention; the row's own key is rounded to half precision on both sides, and may differ. */
const LIMIT = 1e-9;

async function check(
  gpu: Gpu,
  shape: RowAttentionShape,
  pool: Pool,
  sequence: number,
  splitKeys: number,
): Promise<void> {
  const { heads, headDim, block } = shape;
  const { table, keys, values } = pool.sequences[sequence];
  const position = keys.length; // the row comes behind what is cached
  const splits = Math.floor(position / splitKeys) + 1;
  const qkv = randomFloats((heads + 2) * headDim, 10 * heads + splitKeys, 2);
  const part = (head: number) =>
    Float64Array.from(qkv.subarray(head * headDim, (head + 1) * headDim));
  const before = pool.kv.slice();
  const kv = storageFrom(gpu, "kv", before);
  const partial = poisoned(gpu, "partial", splits * heads * headDim);
  const peaks = poisoned(gpu, "peaks", splits * heads * 2);
  const rows = storageFrom(gpu, "rows", new Uint32Array([99, position, table, 99]));
  const call = (await rowAttention(gpu, shape)).bind({
    rows,
    tables: storageFrom(gpu, "tables", pool.tables),
    angles: storageFrom(gpu, "angles", rotaryAngles(position + 1, headDim, THETA)),
    qkv: storageFrom(gpu, "qkv", qkv),
    kv,
    partial,
    peaks,
    step: uniformFrom(gpu, "step", new Uint32Array([splitKeys, splits])),
    early: rows,
  });
  runPass(gpu, (pass) => call.dispatch(pass, splits));
  const what = `${heads} heads of ${headDim}, position ${position}, runs of ${splitKeys}`;

  const ownKey = new Float16Array(rotary(part(heads), position, THETA));
  const ownValue = new Float16Array(part(heads + 1));
  const after = new Float16Array(await readOnce(gpu, kv, kv.size));
  const blockAt = pool.tables[table + Math.floor(position / block)] * 2;
  const keyAt = (blockAt * block + position % block) * headDim;
  const valueAt = keyAt + block * headDim;
  // The rotation is done in f32: seldom it rounds to the next half-precision number.
  assertNmse(after.subarray(keyAt, keyAt + headDim), ownKey, 1e-7, `key, ${what}`);
  assertSame(after.subarray(valueAt, valueAt + headDim), ownValue, `value, ${what}`);
  before.set(after.subarray(keyAt, keyAt + headDim), keyAt);
  before.set(after.subarray(valueAt, valueAt + headDim), valueAt);
  assertSame(after, before, `the rest of the cache, ${what}`);

  const sums = await readFloats(gpu, partial);
  const tops = await readFloats(gpu, peaks);
  const found: number[] = [];
  const expected: number[] = [];
  const allKeys = [...keys, after.slice(keyAt, keyAt + headDim)];
  const allValues = [...values, ownValue];
  for (let head = 0; head < heads; head++) {
    const query = rotary(part(head), position, THETA).map((value) => value / Math.sqrt(headDim));
    const weights = softmax(allKeys.map((key) => query.reduce((sum, q, d) => sum + q * key[d], 0)));
    const runs = Array.from({ length: splits }, (_, s) => (s * heads + head) * 2);
    const highest = Math.max(...runs.map((at) => tops[at]));
    const scales = runs.map((at) => Math.exp(tops[at] - highest));
    const weight = runs.reduce((sum, at, s) => sum + scales[s] * tops[at + 1], 0);
    for (let d = 0; d < headDim; d++) {
      expected.push(weights.reduce((sum, w, token) => sum + w * allValues[token][d], 0));
      const sum = scales.reduce(
        (sum, scale, s) => sum + scale * sums[(s * heads + head) * headDim + d],
        0,
      );
      found.push(sum / weight);
    }
  }
  assertNmse(found, expected, LIMIT, what);
}

/** Keys before the row: none, one, about a block, several tiles. */
const CACHED = [0, 1, 31, 32, 63, 64, 65, 127, 300];

for (const headDim of [8, 32, 64, 96, 128]) {
  Deno.test(`row_attention: any number of heads of ${headDim}, contexts and runs of keys`, () =>
    withGpu(async (gpu) => {
      for (const heads of [1, 3, 8]) {
        const shape = { heads, headDim, block: heads === 3 ? 64 : 32 };
        assert(canAttendRow(gpu, shape));
        // Room for the row behind what is cached.
        const pool = roomy(shape, CACHED);
        for (const sequence of CACHED.keys()) {
          for (const splitKeys of [32, 128, 512]) {
            await check(gpu, shape, pool, sequence, splitKeys);
          }
        }
      }
    }));
}

Deno.test("row_attention: the full model's heads", () =>
  withGpu(async (gpu) => {
    const shape = { heads: 71, headDim: 64, block: 32 };
    await check(gpu, shape, roomy(shape, [130]), 0, 512);
    await check(gpu, shape, roomy(shape, [130]), 0, 64);
  }));

Deno.test("row_attention: a shape the kernel was not written for is refused", () =>
  withGpu((gpu) => {
    assert(!canAttendRow(gpu, { heads: 1, headDim: 136, block: 32 }));
    assert(!canAttendRow(gpu, { heads: 1, headDim: 60, block: 32 }));
    return Promise.resolve();
  }));

/** A pool whose sequences own the block of the next token, too; that token's place is NaN. */
function roomy(shape: RowAttentionShape, cached: number[]): Pool {
  const { headDim, block } = shape;
  const pool = makePool(
    shape,
    cached.map((length) => length + 1),
    (_half, _token, seed) => randomFloats(headDim, seed, 2),
  );
  pool.sequences.forEach(({ table, keys, values }, sequence) => {
    const next = cached[sequence];
    const place = pool.tables[table + Math.floor(next / block)] * 2 * block + next % block;
    for (const at of [place, place + block]) {
      pool.kv.fill(NaN, at * headDim, (at + 1) * headDim);
    }
    keys.pop();
    values.pop();
  });
  return pool;
}
