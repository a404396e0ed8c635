/** Clients that leave: the GPU stops within a few steps, wherever their request was. */
import assert from "node:assert/strict";
import type { Engine } from "../../model/engine.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import {
  type Answer,
  answer,
  engineTest,
  ofItsOwn,
  request,
  until,
  withEngine,
} from "./engine_rig.ts";

const MODEL = committedGolden("q4-g64-act");
const PROMPT = loadGolden(MODEL).prompts[2]!.ids;
/** What is served when the others are gone; 40 + 7 rows. */
const AFTER = { prompt: PROMPT, maxNewTokens: 8 };
const AFTER_ROWS = PROMPT.length + 7;
/** Steps that may pass until the engine hears of it. */
const FEW = 8;

const LEFT = new Error("the client left");

/**
 * Serves one more request, which must be answered like `expected`.
 *
 * @returns rows computed from `before` on, those of that request not counted
 */
async function rowsSince(engine: Engine, before: number, expected: Answer): Promise<number> {
  assert.deepEqual(await answer(engine, { ...AFTER, ...ofItsOwn() }), expected);
  const { rows, running, waiting, blocksUsed } = engine.stats();
  assert.deepEqual({ running, waiting, blocksUsed }, { running: 0, waiting: 0, blocksUsed: 0 });
  return rows - before - AFTER_ROWS;
}

Deno.test("cancel: a request that waits is never begun, and its place is free", () =>
  withEngine({ model: MODEL, slots: 1, queueLimit: 2 }, async (engine) => {
    const expected = await answer(engine, { ...AFTER, ...ofItsOwn() });
    const before = engine.stats().rows;
    const running = answer(engine, { prompt: [1, 2, 3], maxNewTokens: 100 });
    const leave = new AbortController();
    const waiting = answer(engine, { prompt: [4, 5] }, leave.signal);
    const next = answer(engine, { prompt: [6] });
    await until(() => engine.stats().waiting === 2);
    leave.abort(LEFT);
    await assert.rejects(waiting, LEFT);
    await until(() => engine.stats().waiting === 1);
    await running;
    await next;
    const others = (3 + 99) + (1 + 3);
    assert.equal(await rowsSince(engine, before + others, expected), 0);
  }));

Deno.test("cancel: a signal that is aborted before asks nothing of the engine", () =>
  withEngine({ model: MODEL, slots: 1 }, async (engine) => {
    await assert.rejects(answer(engine, {}, AbortSignal.abort(LEFT)), LEFT);
    const { rows, waiting } = engine.stats();
    assert.deepEqual({ rows, waiting }, { rows: 0, waiting: 0 });
  }));

const PREFILLS = {
  "in small chunks": {
    // 21 rows of 768 floats fit.
    options: { maxBindingBytes: 2 ** 16 },
    rowsAStep: 21,
    promptLogprobs: false,
  },
  "with log-probabilities": { options: {}, rowsAStep: 8, promptLogprobs: true },
};

for (const [name, { options, rowsAStep, promptLogprobs }] of Object.entries(PREFILLS)) {
  Deno.test(`cancel: a prefill ${name} stops`, () =>
    withEngine({ model: MODEL, slots: 1, ...options }, async (engine) => {
      const expected = await answer(engine, { ...AFTER, ...ofItsOwn() });
      const leave = new AbortController();
      const long = { prompt: new Array(2000).fill(7), promptLogprobs };
      const cancelled = answer(engine, long, leave.signal);
      const begun = engine.stats().rows;
      await until(() => engine.stats().rows > begun);
      assert.equal(engine.stats().running, 1);
      leave.abort(LEFT);
      const before = engine.stats().rows;
      await assert.rejects(cancelled, LEFT);
      const rows = await rowsSince(engine, before, expected);
      assert(rows <= FEW * rowsAStep, `${rows} more rows were computed`);
      assert(engine.stats().rows < 1000, "the whole prompt was computed");
    }));
}

/** Ways to leave an answer after its fifth token. */
const LEAVING: Record<string, (engine: Engine) => Promise<unknown>> = {
  "by leaving the loop": async (engine) => {
    let tokens = 0;
    for await (const _ of engine.generate(request({ maxNewTokens: 1900 }))) {
      if (++tokens === 5) break;
    }
  },
  "by its signal, from within the loop": async (engine) => {
    const leave = new AbortController();
    let tokens = 0;
    const read = async () => {
      for await (const _ of engine.generate(request({ maxNewTokens: 1900 }), leave.signal)) {
        if (++tokens === 5) leave.abort(LEFT);
      }
    };
    await assert.rejects(read(), LEFT);
    assert.equal(tokens, 5);
  },
  "by its signal, with nobody reading": async (engine) => {
    const leave = new AbortController();
    const answer = engine.generate(request({ maxNewTokens: 1900 }), leave.signal);
    const reader = answer[Symbol.asyncIterator]();
    for (let tokens = 0; tokens < 5; tokens++) await reader.next();
    leave.abort(LEFT);
  },
  "by an error in the loop": async (engine) => {
    let tokens = 0;
    const read = async () => {
      for await (const _ of engine.generate(request({ maxNewTokens: 1900 }))) {
        if (++tokens === 5) throw LEFT;
      }
    };
    await assert.rejects(read(), LEFT);
  },
};

engineTest("cancel: in decode", { model: MODEL, slots: 1 }, {
  "an answer is left": async (engine, test) => {
    const expected = await answer(engine, { ...AFTER, ...ofItsOwn() });
    for (const [way, leave] of Object.entries(LEAVING)) {
      await test.step(way, async () => {
        await leave(engine);
        const before = engine.stats().rows;
        const rows = await rowsSince(engine, before, expected);
        assert(rows <= FEW, `${rows} more rows were computed`);
      });
    }
  },
  "who stops reading blocks the others only until leaving": async (engine) => {
    const expected = await answer(engine, { ...AFTER, ...ofItsOwn() });
    const leave = new AbortController();
    const stalled = engine.generate(request({ maxNewTokens: 1900 }), leave.signal);
    await stalled[Symbol.asyncIterator]().next();
    const waiting = answer(engine, { ...AFTER, ...ofItsOwn() });
    await until(() => engine.stats().waiting === 1);
    leave.abort(LEFT);
    assert.deepEqual(await waiting, expected);
    assert(engine.stats().rows < 1900, "the stalled answer was computed to its end");
  },
  "leaving after the last token, or twice, harms nobody": async (engine) => {
    const expected = await answer(engine, { ...AFTER, ...ofItsOwn() });
    const leave = new AbortController();
    await answer(engine, {}, leave.signal);
    leave.abort(LEFT);
    const again = new AbortController();
    const reader = engine.generate(request(), again.signal)[Symbol.asyncIterator]();
    await reader.next();
    again.abort(LEFT);
    await reader.return!();
    await reader.return!();
    assert.deepEqual(await answer(engine, { ...AFTER, ...ofItsOwn() }), expected);
  },
});
