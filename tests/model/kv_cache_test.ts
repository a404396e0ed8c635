/** The KV cache's blocks: who owns which, and what the kernels read in the block tables. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import type { FalconConfig } from "../../model/config.ts";
import { BLOCK_TOKENS, kvBytesPerToken, KvCache } from "../../model/kv_cache.ts";
import { withGpu } from "../helpers.ts";

const CONFIG: FalconConfig = {
  hiddenSize: 192,
  layers: 2,
  heads: 3,
  headDim: 64,
  ffnSize: 768,
  vocabSize: 512,
  layerNormEpsilon: 1e-5,
  ropeTheta: 10000,
  maxPositions: 2048,
  bosTokenId: null,
  eosTokenId: null,
};

const SLOTS = 3;

/** A cache of few blocks: 5 a slot at most, 12 in all. */
function cacheOf(gpu: Gpu): KvCache {
  return new KvCache(gpu, CONFIG, 12, SLOTS, 160);
}

/** The block table, a row a slot. */
async function readTables(gpu: Gpu, { tables, tableWidth }: KvCache): Promise<number[][]> {
  const words = new Uint32Array(await readOnce(gpu, tables, tables.size));
  return Array.from(
    { length: SLOTS },
    (_, slot) => [...words.subarray(slot * tableWidth, (slot + 1) * tableWidth)],
  );
}

Deno.test("a token of Falcon-7B takes 8 KiB of keys and values", () => {
  assert.equal(kvBytesPerToken({ ...CONFIG, layers: 32 }), 8192);
});

Deno.test("KV buffers have room for every block, tables for every slot", () =>
  withGpu((gpu) => {
    const kv = cacheOf(gpu);
    assert.deepEqual(kv.layers.map(({ size }) => size), [12 * 8192, 12 * 8192]);
    assert.equal(kv.tableWidth, 5);
    assert.equal(kv.tables.size, SLOTS * 5 * 4);
    assert.equal(kv.blockTokens, 32);
    return Promise.resolve();
  }));

Deno.test("a slot grows by blocks of 32 tokens, never shrinks, and gives all of them back", () =>
  withGpu((gpu) => {
    const kv = cacheOf(gpu);
    for (const [tokens, blocks] of [[1, 1], [32, 1], [33, 2], [5, 2], [160, 5]] as const) {
      kv.grow(1, tokens);
      assert.equal(kv.blocksUsed, blocks);
    }
    kv.release(1);
    assert.equal(kv.blocksUsed, 0);
    kv.release(1);
    assert.equal(kv.blocksUsed, 0);
    return Promise.resolve();
  }));

Deno.test("what does not fit is known before and refused, and changes nothing", () =>
  withGpu((gpu) => {
    const kv = cacheOf(gpu);
    kv.grow(0, 160);
    kv.grow(1, 160);
    assert.equal(kv.canHold(2, 64), true);
    assert.equal(kv.canHold(2, 65), false);
    assert.throws(() => kv.grow(2, 65), {
      name: "RangeError",
      message: "65 tokens do not fit: 2 KV blocks are free",
    });
    kv.release(0);
    // The pool has the blocks, the slot's row of the table has no place for them.
    assert.throws(() => kv.grow(2, 161), RangeError);
    assert.equal(kv.blocksUsed, 5);
    return Promise.resolve();
  }));

const happening = fc.oneof(
  fc.record({ slot: fc.nat(SLOTS - 1), tokens: fc.integer({ min: 1, max: 160 }) }),
  fc.record({ slot: fc.nat(SLOTS - 1), tokens: fc.constant(0) }),
);

Deno.test("whatever grows and is released, no block has two owners and the tables say who has it", () =>
  withGpu((gpu) =>
    fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 40, size: "max" }), async (story) => {
        const kv = cacheOf(gpu);
        const counts = new Array<number>(SLOTS).fill(0);
        for (const { slot, tokens } of story) {
          if (tokens === 0) {
            kv.release(slot);
            counts[slot] = 0;
          } else {
            const wanted = Math.max(counts[slot]!, Math.ceil(tokens / BLOCK_TOKENS));
            const free = 12 - counts.reduce((sum, count) => sum + count, 0);
            const fits = wanted - counts[slot]! <= free;
            assert.equal(kv.canHold(slot, tokens), fits);
            if (!fits) continue;
            kv.grow(slot, tokens);
            counts[slot] = wanted;
          }
          assert.equal(kv.blocksUsed, counts.reduce((sum, count) => sum + count, 0));
        }
        const tables = await readTables(gpu, kv);
        const owned = tables.flatMap((row, slot) => row.slice(0, counts[slot]));
        assert.equal(new Set(owned).size, owned.length, `a block has two owners: ${owned}`);
        assert(owned.every((block) => block < kv.blocks));
        for (const { buffer } of [...kv.layers, { buffer: kv.tables }]) gpu.freeBuffer(buffer);
      }),
      { numRuns: 40 },
    )
  ));
