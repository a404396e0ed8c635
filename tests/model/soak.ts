/**
 * A soak: many clients at once, some of whom leave, for as long as one likes. Memory and blocks must
 * stay where they are.
 *
 *     deno task soak [minutes]
 *
 * Knows the engine boundary. Knows nothing of what happens behind it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Engine, type GenerateRequest, GREEDY } from "../../model/engine.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { committedGolden } from "../golden.ts";
import { request } from "./fake_model.ts";
import { until } from "./engine_rig.ts";

/** Clients at once, more than there are slots. */
const CLIENTS = 8;
export const SOAK_OPTIONS = {
  model: committedGolden("q4-g64-act"),
  slots: 4,
  queueLimit: CLIENTS,
  // 40 blocks: kept ones have to go all the time.
  kvBytes: 40 * 32 * 512,
};

/** What a client does: a dialogue of some turns, the last of which it may leave early. */
interface Visit {
  first: number[];
  turns: number;
  maxNewTokens: number;
  leavesAfter: number | undefined;
  isDrawn: boolean;
  cacheScope: string;
}

const visits: fc.Arbitrary<Visit> = fc.record({
  // Many begin alike.
  first: fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 150 })).map(([kind, length]) =>
    Array.from({ length }, (_, i) => 12 + (i * (kind + 1)) % 400)
  ),
  turns: fc.integer({ min: 1, max: 3 }),
  maxNewTokens: fc.integer({ min: 1, max: 40 }),
  leavesAfter: fc.option(fc.nat(20), { nil: undefined }),
  isDrawn: fc.boolean(),
  cacheScope: fc.constantFrom("a", "b"),
});

/** Of the next visit: no two are the same. */
let seed = 0;

/** Plays visits until `isOver` says so, several at once; how many there were. */
export async function soak(engine: Engine, isOver: (visits: number) => boolean): Promise<number> {
  let count = 0;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (!isOver(count)) {
      const [visit] = fc.sample(visits, { numRuns: 1, seed: seed++ });
      count++;
      await play(engine, visit!);
    }
  }));
  return count;
}

async function play(engine: Engine, visit: Visit): Promise<void> {
  const { first, turns, maxNewTokens, leavesAfter, isDrawn, cacheScope } = visit;
  const prompt = [...first];
  for (let turn = 1; turn <= turns; turn++) {
    const sampling: GenerateRequest["sampling"] = isDrawn
      ? { ...GREEDY, temperature: 1, topP: 0.9, seed: first.length }
      : GREEDY;
    const wanted = request({ prompt: [...prompt], maxNewTokens, sampling, cacheScope });
    const leave = turn === turns ? leavesAfter : undefined;
    let heard = 0;
    for await (const event of engine.generate(wanted)) {
      assert(event.type === "token");
      prompt.push(event.id);
      if (heard++ === leave) break;
    }
    if (leave === undefined) assert.equal(heard, maxNewTokens);
  }
}

/** Bytes of this process, its worker's and the driver's included. */
export function memoryNow(): number {
  return Deno.memoryUsage().rss;
}

if (import.meta.main) {
  const minutes = Number(Deno.args[0] ?? 10);
  const engine = startLocalEngine(SOAK_OPTIONS);
  await engine.ready;
  const started = Date.now();
  let visits = 0;
  for (let next = started; Date.now() < started + minutes * 60_000;) {
    next += Math.min(60_000, minutes * 60_000);
    visits += await soak(engine, () => Date.now() >= next);
    // The last to leave are still on their way.
    await until(() => engine.stats().running === 0);
    const { rows, steps, blocksUsed, prefixHits } = engine.stats();
    const memory = (memoryNow() / 2 ** 20).toFixed(0);
    console.log(
      `${visits} visits, ${rows} rows in ${steps} steps, ${prefixHits} tokens found, ` +
        `${blocksUsed} blocks held, ${memory} MiB`,
    );
  }
  await engine.close();
}
