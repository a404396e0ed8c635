/** Whatever the shape and the number of workgroups, everything is computed once, and by equal parts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { NO_SHARE, packShares, type Share, shares } from "../../kernels/decode_shares.ts";

const shape = fc.record({
  heads: fc.integer({ min: 1, max: 90 }),
  units: fc.integer({ min: 2, max: 700 }),
  workgroups: fc.integer({ min: 1, max: 300 }),
}).map(({ heads, units, workgroups }) => ({
  shape: { hidden: heads * 64, ffn: units * 32, heads, headDim: 64 },
  workgroups,
}));

/** Fails unless the runs lie side by side from 0 to `total`. */
function assertCovers(runs: { first: number; count: number }[], total: number): void {
  let next = 0;
  for (const { first, count } of runs) {
    assert(count >= 0);
    if (count > 0) assert.equal(first, next);
    next += count;
  }
  assert.equal(next, total);
}

Deno.test("every output of every matrix belongs to exactly one workgroup", () => {
  fc.assert(fc.property(shape, ({ shape, workgroups }) => {
    const all = shares(shape, workgroups);
    assert.equal(all.length, workgroups);
    assertCovers(all.map((s) => ({ first: s.upFirst, count: s.upUnits })), shape.ffn / 32);
    assertCovers(
      all.map((s) => ({ first: s.qkvFirst, count: s.qkvQuads })),
      (shape.heads + 2) * 16,
    );
    assertCovers(all.map((s) => ({ first: s.outFirst, count: s.outQuads })), shape.hidden / 4);
  }));
});

Deno.test("ranks are a permutation that puts those first who have least of down", () => {
  fc.assert(fc.property(shape, ({ shape, workgroups }) => {
    const byRank = shares(shape, workgroups).toSorted((a, b) => a.rank - b.rank);
    assert.deepEqual(byRank.map(({ rank }) => rank), byRank.map((_, i) => i));
    for (let i = 1; i < byRank.length; i++) assert(byRank[i].outQuads >= byRank[i - 1].outQuads);
  }));
});

Deno.test("Falcon-7B on 132 workgroups: 43 or 44 quads of qkv and up each, 8 or 9 of down", () => {
  const all = shares({ hidden: 4544, ffn: 18176, heads: 71, headDim: 64 }, 132);
  const wide = all.map(({ upUnits, qkvQuads }) => 8 * upUnits + qkvQuads);
  assert.deepEqual(new Set(wide), new Set([43, 44]));
  assert.deepEqual(new Set(all.map(({ outQuads }) => outQuads)), new Set([8, 9]));
});

Deno.test("a share is eight words in the order of the WGSL struct", () => {
  const share: Share = {
    upFirst: 1,
    upUnits: 2,
    qkvFirst: 3,
    qkvQuads: 4,
    outFirst: 5,
    outQuads: 6,
    rank: 7,
  };
  assert.deepEqual([...packShares([share])], [1, 2, 3, 4, 5, 6, 7, 0]);
  assert.deepEqual([...packShares([NO_SHARE])], [0, 0, 0, 0, 0, 0, 0xffffffff, 0]);
});
