import assert from "node:assert/strict";
import fc from "fast-check";
import { median, percentile } from "../../model/statistics.ts";

Deno.test("median: the middle value, or the mean of the middle two, in any order", () => {
  assert.equal(median([5]), 5);
  assert.equal(median([9, 1, 4]), 4);
  assert.equal(median([10, 1, 4, 2]), 3);
  assert.throws(() => median([]), RangeError);
});

Deno.test("percentile: the nearest rank", () => {
  const values = [15, 20, 35, 40, 50];
  for (const [percent, value] of [[5, 15], [30, 20], [40, 20], [50, 35], [99, 50], [100, 50]]) {
    assert.equal(percentile(values.toReversed(), percent!), value, `${percent} %`);
  }
  assert.throws(() => percentile([], 50), RangeError);
});

Deno.test("percentile: enough values are no larger, and no smaller value would do", () =>
  fc.assert(fc.property(
    fc.array(fc.integer(), { minLength: 1 }),
    fc.integer({ min: 1, max: 100 }),
    (values, percent) => {
      const found = percentile(values, percent);
      const upTo = values.filter((value) => value <= found).length;
      const below = values.filter((value) => value < found).length;
      assert(values.includes(found));
      assert(100 * upTo >= percent * values.length);
      assert(100 * below < percent * values.length);
    },
  )));
