/** The soak, short: after many visits nothing is held, and memory is where it was. */
import assert from "node:assert/strict";
import { until, withEngine } from "./engine_rig.ts";
import { memoryNow, soak, SOAK_OPTIONS } from "./soak.ts";

/** Allocators keep some; a block, a table or an answer kept for each visit would be more. */
const MOST_GROWTH = 64 * 2 ** 20;

Deno.test("soak: blocks come back and memory stays flat", () =>
  withEngine(SOAK_OPTIONS, async (engine) => {
    await soak(engine, (visits) => visits >= 10);
    const before = memoryNow();
    await soak(engine, (visits) => visits >= 20);
    await until(() => engine.stats().running === 0);
    const { blocksUsed, waiting, prefixHits } = engine.stats();
    assert.deepEqual([blocksUsed, waiting], [0, 0]);
    assert(prefixHits > 0, "nothing was shared");
    const growth = memoryNow() - before;
    assert(growth < MOST_GROWTH, `${growth} bytes more`);
  }));
