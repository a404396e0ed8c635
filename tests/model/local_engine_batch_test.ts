/** Several requests computed together: each as when alone, what they share, and what is left of them. */
import assert from "node:assert/strict";
import type { Engine } from "../../model/engine.ts";
import { agreedGreedy, committedGolden, loadGolden } from "../golden.ts";
import { answer, ofItsOwn, request, until, withEngine } from "./engine_rig.ts";

const MODEL = committedGolden("q4-g128-act");
const { prompts } = loadGolden(MODEL);
const [, , long] = prompts;
const OPTIONS = { model: MODEL, slots: 4, queueLimit: 16 };

Deno.test("batch: requests together get the greedy tokens of the golden data, some of them waiting", () =>
  withEngine(OPTIONS, async (engine) => {
    assert.equal((await engine.ready).slots, 4);
    let most = 0;
    await Promise.all([...prompts, ...prompts, ...prompts].map(async (prompt) => {
      const { ids, greedy, greedyMargin } = prompt;
      const wanted = request({ prompt: ids, maxNewTokens: greedy.length, ...ofItsOwn() });
      const found: number[] = [];
      for await (const event of engine.generate(wanted)) {
        most = Math.max(most, engine.stats().running);
        if (event.type === "token") found.push(event.id);
      }
      agreedGreedy(greedy, greedyMargin, found);
    }));
    assert(most > 1, "they were computed one after the other");
    const { steps, rows, blocksUsed } = engine.stats();
    assert(
      steps < rows && blocksUsed === 0,
      `${rows} rows in ${steps} steps, ${blocksUsed} blocks`,
    );
  }));

Deno.test("batch: a prompt whose beginning is there is answered the same, and says so", () =>
  withEngine(OPTIONS, async (engine) => {
    const { ids: prompt, greedy, greedyMargin } = long!;
    const wanted = { prompt, maxNewTokens: greedy.length };
    const cached: (number | undefined)[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const before = engine.stats().rows;
      const { ids, tokens } = await answer(engine, wanted);
      agreedGreedy(greedy, greedyMargin, ids);
      cached.push(tokens[0]!.cachedTokens);
      assert.equal(engine.stats().rows - before, prompt.length + ids.length - 1 - 32 * turn);
    }
    assert.deepEqual(cached, [undefined, 32]);
    const { prefixQueries, prefixHits } = engine.stats();
    assert.deepEqual([prefixQueries, prefixHits], [2 * prompt.length, 32]);
    const strangers = await answer(engine, { ...wanted, cacheScope: "somebody else" });
    assert.equal(strangers.tokens[0]!.cachedTokens, undefined);
    const scored = await answer(engine, { ...wanted, promptLogprobs: true });
    assert.equal(scored.tokens[0]!.cachedTokens, undefined);
    assert.equal(scored.prompt!.length, prompt.length);
  }));

/** Begins an answer that takes long; it is read, and ends with the signal. */
async function begin(engine: Engine, signal: AbortSignal, length = 3): Promise<void> {
  const prompt = new Array<number>(length).fill(7);
  await assert.rejects(answer(engine, { prompt, maxNewTokens: 2000 - length }, signal));
}

for (const phase of ["queued", "prefill", "decode"] as const) {
  Deno.test(`batch: who leaves in ${phase} takes rows of two more steps at most`, () =>
    withEngine(
      { ...OPTIONS, slots: phase === "queued" ? 1 : 4, kvBytes: 2 ** 23 },
      async (engine) => {
        const stay = new AbortController();
        const leave = new AbortController();
        const staying = begin(engine, stay.signal);
        await until(() => engine.stats().rows > 5);
        const leaving = begin(engine, leave.signal, phase === "prefill" ? 1900 : 3);
        if (phase === "queued") await until(() => engine.stats().waiting === 1);
        else await until(() => engine.stats().running === 2);
        const own = engine.stats().blocksUsed;
        if (phase === "decode") {
          // Two rows a step: both decode.
          const { rows, steps } = engine.stats();
          await until(() => engine.stats().rows - rows > engine.stats().steps - steps + 3);
        }
        const before = engine.stats();
        leave.abort(new Error("left"));
        await leaving;
        const over = () => engine.stats().waiting === 0 && engine.stats().running === 1;
        await until(over);
        await until(() => engine.stats().steps > before.steps + 6);
        const after = engine.stats();
        // Each step has a row of the one that stays; the rest is the other's.
        const others = after.rows - before.rows - (after.steps - before.steps);
        const aStep = { queued: 0, prefill: 256, decode: 1 }[phase];
        assert(others <= 2 * aStep, `${others} rows for one that left`);
        const { cancelledQueued, cancelledPrefill, cancelledDecode } = after;
        const counts = {
          queued: cancelledQueued,
          prefill: cancelledPrefill,
          decode: cancelledDecode,
        };
        assert.deepEqual(counts, { queued: 0, prefill: 0, decode: 0, [phase]: 1 });
        if (phase !== "queued") assert(after.blocksUsed < own, "its blocks are still held");
        stay.abort(new Error("left"));
        await staying;
        await until(() => engine.stats().blocksUsed === 0);
      },
    ));
}

Deno.test("batch: an answer that is left because it found its end is no cancellation", () =>
  withEngine(OPTIONS, async (engine) => {
    for await (const _ of engine.generate(request({ maxNewTokens: 1000 }))) break;
    await until(() => engine.stats().running === 0);
    const { cancelledQueued, cancelledPrefill, cancelledDecode } = engine.stats();
    assert.deepEqual([cancelledQueued, cancelledPrefill, cancelledDecode], [0, 0, 0]);
  }));

Deno.test("batch: slots are as many as asked for, or as the GPU can be shown logits of", async () => {
  await withEngine({ ...OPTIONS, slots: 300 }, async (engine) => {
    assert.equal((await engine.ready).slots, 256, "a row of a step for each");
  });
  // 32 rows of 512 logits fit, and 21 rows of 768 floats.
  await withEngine({ ...OPTIONS, slots: 300, maxBindingBytes: 2 ** 16 }, async (engine) => {
    const { slots, kvTokens, kvBytes } = await engine.ready;
    assert.equal(slots, 21);
    assert.deepEqual([kvTokens, kvBytes], [2048, 2048 * 512]);
  });
});
