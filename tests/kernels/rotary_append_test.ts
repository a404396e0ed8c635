/**
 * rotary_append, against the rotation in float64.
 *
 * Knows the layout of rows, block tables and KV blocks.
 */
import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { rotaryAngles, rotaryAppend } from "../../kernels/rotary_append.ts";
import { readOnce } from "../../gpu/readback.ts";
import {
  assertNmse,
  assertSame,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  seededRandom,
  withGpu,
} from "../helpers.ts";

const THETA = 10000;
const POSITIONS = 200;

/** NeoX pairing: dimensions d and d + D/2 turn by position * THETA^(-2d / D). */
function rotate(vector: Float32Array, position: number): Float64Array {
  const half = vector.length / 2;
  const out = new Float64Array(vector.length);
  for (let d = 0; d < half; d++) {
    const angle = position / THETA ** (d / half);
    out[d] = vector[d] * Math.cos(angle) - vector[d + half] * Math.sin(angle);
    out[d + half] = vector[d + half] * Math.cos(angle) + vector[d] * Math.sin(angle);
  }
  return out;
}

/** Half the gap between half-precision numbers around `value`. */
function halfUlp16(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
  return 2 ** (exponent - 10) / 2;
}

// Sequences of several rows, across block boundaries, in blocks that lie anywhere.
const BLOCKS = 16;
const TABLES = [77, 14, 3, 9, 0, 77, 5, 77, 12, 2, 15, 77];
const SEQUENCES = [
  { table: 1, positions: [0, 31, 32, 33, 63, 64, 127] },
  { table: 6, positions: [30, 31] },
  { table: 8, positions: [95, 64, 1] },
];

for (const headDim of [32, 64, 128]) {
  for (const [heads, block] of [[1, 32], [5, 64], [71, 32]]) {
    Deno.test(`rotary_append: ${heads} heads of ${headDim}, blocks of ${block}`, () =>
      withGpu(async (gpu) => {
        const rows = SEQUENCES.flatMap(({ table, positions }) =>
          positions.map((position) => ({ table, position }))
        );
        const width = (heads + 2) * headDim;
        const qkv = randomFloats(rows.length * width, headDim, 4);
        const random = seededRandom(heads);
        const before = Uint16Array.from(
          { length: BLOCKS * 2 * block * headDim },
          () => Math.floor(random() * 65536),
        );
        const q = poisoned(gpu, "q", rows.length * heads * headDim);
        const kv = storageFrom(gpu, "kv", before);
        const words = rows.flatMap(({ table, position }) => [9, position, table, 9]);
        const call = (await rotaryAppend(gpu, { heads, headDim, block })).bind({
          rows: storageFrom(gpu, "rows", new Uint32Array(words)),
          tables: storageFrom(gpu, "tables", new Uint32Array(TABLES)),
          angles: storageFrom(gpu, "angles", rotaryAngles(POSITIONS, headDim, THETA)),
          qkv: storageFrom(gpu, "qkv", qkv),
          q,
          kv,
        });
        runPass(gpu, (pass) => call.dispatch(pass, rows.length));
        const cache = await readOnce(gpu, kv, kv.size);
        const halves = new Float16Array(cache);

        const queries: number[] = [];
        const untouched = before.slice();
        const after = new Uint16Array(cache);
        rows.forEach(({ table, position }, r) => {
          const part = (head: number) =>
            qkv.subarray(r * width + head * headDim, r * width + (head + 1) * headDim);
          for (let head = 0; head < heads; head++) {
            for (const value of rotate(part(head), position)) {
              queries.push(value / Math.sqrt(headDim));
            }
          }
          const place = TABLES[table + Math.floor(position / block)] * 2 * block + position % block;
          const keyAt = place * headDim;
          const valueAt = (place + block) * headDim;
          const key = part(heads);
          rotate(key, position).forEach((expected, d) => {
            // Nearest half-precision number, of a rotation done in f32.
            const pair = Math.abs(key[d]) + Math.abs(key[(d + headDim / 2) % headDim]);
            const error = Math.abs(halves[keyAt + d] - expected);
            assert(error <= halfUlp16(expected) + 3e-7 * pair, `key ${r} ${d}: off by ${error}`);
          });
          const values = halves.subarray(valueAt, valueAt + headDim);
          assertSame(values, new Float16Array(part(heads + 1)), `value ${r}`);
          untouched.set(after.subarray(keyAt, keyAt + headDim), keyAt);
          untouched.set(after.subarray(valueAt, valueAt + headDim), valueAt);
        });
        assertSame(after, untouched, "the rest of the cache");
        // Angles rounded to f32 and four f32 operations: some 1e-7, squared.
        assertNmse(await readFloats(gpu, q), queries, 1e-12, "queries");
      }));
  }
}

Deno.test("rotaryAngles: cos and sin of position / theta^(2i / D), rounded once", () => {
  const angles = rotaryAngles(2048, 64, THETA);
  assert.equal(angles.length, 2048 * 32 * 2);
  const at = (position: number, i: number) => [
    ...angles.subarray((position * 32 + i) * 2, (position * 32 + i) * 2 + 2),
  ];
  const one = [Math.fround(0.5403023058681398), Math.fround(0.8414709848078965)]; // cos 1, sin 1
  assert.deepEqual(at(0, 0), [1, 0]);
  assert.deepEqual(at(0, 31), [1, 0]);
  assert.deepEqual(at(1, 0), one);
  assert.deepEqual(at(10, 8), one); // theta^(-1/4) is 1/10
  assert.deepEqual(at(100, 16), one); // theta^(-1/2) is 1/100
  assert.deepEqual(at(1000, 24), one); // theta^(-3/4) is 1/1000
  for (let position = 0; position < 2048; position++) {
    for (let i = 0; i < 32; i++) {
      const angle = position * Math.exp(-i / 32 * Math.log(THETA));
      const [cosine, sine] = at(position, i);
      // Half a unit in the last place below 1, and the two formulas' own rounding at angle 2047.
      assert(Math.abs(cosine - Math.cos(angle)) < 3.1e-8, `cos ${position} ${i}`);
      assert(Math.abs(sine - Math.sin(angle)) < 3.1e-8, `sin ${position} ${i}`);
    }
  }
});
