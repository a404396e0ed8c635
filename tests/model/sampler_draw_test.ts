import assert from "node:assert/strict";
import type { Sampling } from "../../model/engine.ts";
import { randomFloats, withGpu } from "../helpers.ts";
import { expected, row, SamplerRig } from "./sampling.ts";

/** Values that a chi-squared variable of 1 to 9 degrees of freedom exceeds once in a thousand. */
const CHI_SQUARED = [10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88];

/** Draws per distribution: 20 steps of 200 rows. */
const STEPS = 20;
const ROWS = 200;

Deno.test("sampler: tokens come as often as their probabilities say", () =>
  withGpu(async (gpu) => {
    const logits = Float32Array.of(1, 0.5, 0, -0.5, 2, -1, 1.5, 0.25, -2, 0.75);
    const vocab = logits.length;
    const rig = await SamplerRig.create(gpu, vocab, ROWS);
    const cases: Partial<Sampling>[] = [
      {},
      { temperature: 2 },
      { topK: 3 },
      { topP: 0.8 },
      { typicalP: 0.6 },
      { minP: 0.1, temperature: 0.8 },
    ];
    for (const sampling of cases) {
      const { kept } = expected(logits, sampling);
      const counts = new Map([...kept.keys()].map((id) => [id, 0]));
      for (let step = 0; step < STEPS; step++) {
        // Half of the draws differ in the seed, half in the place.
        const rows = Array.from({ length: ROWS }, (_, slot) => {
          const draw = step * ROWS + slot;
          return slot % 2 === 0
            ? row(slot, { ...sampling, seed: draw })
            : row(slot, { ...sampling, seed: 3 }, { drawIndex: draw });
        });
        for (const { id } of await rig.run(rows.map(() => logits), rows)) {
          assert(counts.has(id), `${id} was removed`);
          counts.set(id, counts.get(id)! + 1);
        }
      }
      let chiSquared = 0;
      for (const [id, p] of kept) {
        const wanted = p * STEPS * ROWS;
        chiSquared += (counts.get(id)! - wanted) ** 2 / wanted;
      }
      const limit = CHI_SQUARED[kept.size - 2];
      assert(chiSquared < limit, `${JSON.stringify(sampling)}: ${chiSquared}, limit ${limit}`);
    }
  }));

Deno.test("sampler: a draw depends on seed, place and logits, not on the rest of the batch", () =>
  withGpu(async (gpu) => {
    const vocab = 2500;
    const rows = 6;
    const rig = await SamplerRig.create(gpu, vocab, rows);
    const other = (seed: number) => randomFloats(vocab, seed, 0.1);
    const logits = other(1);
    const asked = { seed: 2 ** 53 - 2, topP: 0.99, temperature: 1.5 };
    const draw = async (at: number, sampling: Partial<Sampling>, drawIndex: number) => {
      const all = Array.from({ length: rows }, (_, r) => r === at ? logits : other(100 * at + r));
      const asks = all.map((_, r) =>
        r === at
          ? row(r, { ...asked, ...sampling }, { drawIndex })
          : row(r, { seed: r, typicalP: 0.1 + at / 10, topK: at * 100, temperature: r % 2 })
      );
      return (await rig.run(all, asks))[at].id;
    };
    const alone = (await rig.run([logits], [row(0, asked, { drawIndex: 4 })]))[0].id;
    for (let at = 0; at < rows; at++) assert.equal(await draw(at, {}, 4), alone);
    // It does depend on each word of the seed, and on the place.
    const changed = [
      await draw(0, { seed: 2 ** 53 - 3 }, 4),
      await draw(0, { seed: 2 ** 52 - 2 }, 4),
      await draw(0, {}, 5),
    ];
    assert.equal(new Set([alone, ...changed]).size, 4, "one of 2500 equals only by accident");
  }));
