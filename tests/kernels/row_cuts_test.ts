/** The cut of two matrices into equal shares, against counting them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { fewestWorkgroups, slots } from "../../kernels/row_cuts.ts";

Deno.test("fewestWorkgroups: Falcon-7B's up and qkv, 44 quads a workgroup", () => {
  // 568 units of eight quads and 1168 quads: 5712 quads, 129.8 times 44.
  assert.equal(slots({ threads: 704, lanes: 16, first: 1, early: true, subgroups: true }), 44);
  assert.equal(fewestWorkgroups(568, 1168, 44), 130);
});

Deno.test("fewestWorkgroups: a unit is not divided", () => {
  assert.equal(fewestWorkgroups(1, 0, 8), 1);
  assert.equal(fewestWorkgroups(1, 0, 7), undefined);
});

Deno.test("fewestWorkgroups: no workgroup gets more than it takes, and none less than nothing", () =>
  fc.assert(
    fc.property(
      fc.nat({ max: 200 }),
      fc.nat({ max: 400 }),
      fc.integer({ min: 8, max: 64 }),
      (units, quads, most) => {
        const count = fewestWorkgroups(units, quads, most);
        if (count === undefined) return;
        let given = 0;
        for (let w = 0; w < count; w++) {
          const wide = Math.floor((w + 1) * units / count) - Math.floor(w * units / count);
          const all = Math.floor((w + 1) * (8 * units + quads) / count) - given;
          assert(all <= most);
          assert(all >= 8 * wide);
          given += all;
        }
        assert.equal(given, 8 * units + quads);
      },
    ),
  ));
