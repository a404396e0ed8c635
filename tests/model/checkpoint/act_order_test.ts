import assert from "node:assert/strict";
import fc from "fast-check";
import {
  actOrderPermutation,
  invertPermutation,
  isIdentity,
  samePermutation,
} from "../../../model/checkpoint/act_order.ts";
import { groupCount } from "../../../model/checkpoint/quantization.ts";
import type { TensorInfo } from "../../../model/checkpoint/safetensors.ts";
import { refused } from "./damaged.ts";

function linear(inFeatures: number, groups: number) {
  const gIdx: TensorInfo = {
    name: "layer.g_idx",
    dtype: "I32",
    shape: [inFeatures],
    path: "model.safetensors",
    offset: 0,
    bytes: 4 * inFeatures,
  };
  return { name: "layer", inFeatures, groups, gIdx };
}

/** A g_idx as GPTQ makes it: rank by importance, divided by the group size. */
const grouped = fc.record({
  inFeatures: fc.integer({ min: 1, max: 300 }),
  groupSize: fc.constantFrom(0, 1, 7, 32, 64, 128),
  seed: fc.infiniteStream(fc.nat()),
}).map(({ inFeatures, groupSize, seed }) => {
  const importance = [...seed.take(inFeatures)];
  const ranked = importance.map((_, row) => row).sort((a, b) => importance[b]! - importance[a]!);
  const gIdx = new Int32Array(inFeatures);
  ranked.forEach((row, rank) => gIdx[row] = groupSize === 0 ? 0 : Math.floor(rank / groupSize));
  return { gIdx, inFeatures, groupSize };
});

Deno.test("act-order: sorted rows are contiguous groups, in their own order within a group", () => {
  fc.assert(fc.property(grouped, ({ gIdx, inFeatures, groupSize }) => {
    const groups = groupCount(inFeatures, groupSize);
    const permutation = actOrderPermutation(gIdx, linear(inFeatures, groups), groupSize);
    // Array.prototype.sort is stable: an argsort by other means.
    const expected = Array.from(gIdx.keys()).sort((a, b) => gIdx[a]! - gIdx[b]!);
    assert.deepEqual([...permutation], expected);
    permutation.forEach((row, place) => {
      assert.equal(gIdx[row], groupSize === 0 ? 0 : Math.floor(place / groupSize));
    });
    const inverse = invertPermutation(permutation);
    permutation.forEach((row, place) => assert.equal(inverse[row], place));
    assert(samePermutation(invertPermutation(inverse), permutation));
  }));
});

Deno.test("act-order: a small case by hand, with a short last group", () => {
  const permutation = actOrderPermutation(Int32Array.of(1, 0, 2, 0, 1), linear(5, 3), 2);
  assert.deepEqual([...permutation], [1, 3, 0, 4, 2]);
  assert(!isIdentity(permutation));
});

Deno.test("act-order: without g_idx, or with groups in order, rows stay", () => {
  assert(isIdentity(actOrderPermutation(undefined, linear(96, 2), 64)));
  const inOrder = Int32Array.from({ length: 96 }, (_, row) => Math.floor(row / 64));
  assert(isIdentity(actOrderPermutation(inOrder, linear(96, 2), 64)));
  assert(!samePermutation(Uint32Array.of(0, 1), Uint32Array.of(1, 0)));
  assert(!samePermutation(Uint32Array.of(0, 1), Uint32Array.of(0)));
});

Deno.test("act-order: groups that would not start at multiples of the size are refused", async () => {
  const words = ["model.safetensors", '"layer.g_idx"'];
  const check = (values: number[], groupSize = 2) => () =>
    actOrderPermutation(Int32Array.from(values), linear(5, 3), groupSize);
  await refused(check([0, 0, 1, 1, 3]), ...words, "0 to 2", "found 3");
  await refused(check([0, 0, 1, 1, -1]), ...words, "found -1");
  await refused(check([0, 0, 0, 1, 2]), ...words, "2 inputs in group 0", "found 3");
  await refused(check([0, 1, 1, 2, 2]), ...words, "2 inputs in group 0", "found 1");
  await refused(check([0, 0, 1, 1]), ...words, "5 values", "found 4");
});
