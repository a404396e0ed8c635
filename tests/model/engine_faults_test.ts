/** Faults on purpose: who is told, who goes on, and how often the worker is started again. */
import assert from "node:assert/strict";
import type { Fault } from "../../model/fault.ts";
import { committedGolden } from "../golden.ts";
import { type Answer, answer, refused, start, until, withEngine } from "./engine_rig.ts";

const MODEL = committedGolden("q4-g64-act");
const LONG = { prompt: [1, 2, 3], maxNewTokens: 1900 };
const OTHER = { prompt: [4, 5], maxNewTokens: 12 };

const EXPECTED = await answerAlone();

/** What no fault changes. */
async function answerAlone(): Promise<Answer> {
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.ready;
    return await answer(engine, OTHER);
  } finally {
    await engine.close();
  }
}

/** Faults that end the worker, and what its reason says. */
const FATAL: Record<Exclude<Fault["kind"], "invalid">, RegExp> = {
  throw: /on purpose/,
  lose: /lost|destroyed/,
  allocate: /1099511627776/,
  stray: /on purpose/,
};

for (const [kind, reason] of Object.entries(FATAL)) {
  const fault: Fault = { kind: kind as Fault["kind"], step: 6, workers: 1 };

  Deno.test(`fault "${kind}": the answer that runs ends, who waits is served by the next worker`, async () => {
    const notes: string[] = [];
    await withEngine(
      { model: MODEL, slots: 1, restarts: 1, fault, onNote: (note) => notes.push(note) },
      async (engine) => {
        const running = refused(answer(engine, LONG), "failed");
        const waiting = [answer(engine, OTHER), answer(engine, OTHER)];
        assert.doesNotMatch(await running, reason);
        const { state, restarts, rows } = engine.stats();
        assert.deepEqual([state, restarts], ["loading", 1]);
        assert(rows > 0, "what was counted is kept");
        await refused(answer(engine), "loading");
        for (const found of await Promise.all(waiting)) assert.deepEqual(found, EXPECTED);
        assert.deepEqual(await answer(engine, OTHER), EXPECTED);
        const after = engine.stats();
        assert.deepEqual(
          [after.state, after.restarts, after.running, after.blocksUsed],
          ["ready", 1, 0, 0],
        );
        assert(after.rows >= rows + 3 * (2 + 11));
        assert.match(notes[0]!, reason);
        assert.deepEqual(notes.slice(1), ["The model is loaded again."]);
      },
    );
  });
}

Deno.test("a fault of the next worker, too: the engine is lost", async () => {
  const fault: Fault = { kind: "lose", step: 6, workers: 2 };
  const engine = start({ model: MODEL, slots: 1, restarts: 1, fault });
  try {
    await engine.ready;
    const running = refused(answer(engine, LONG), "failed");
    const next = refused(answer(engine, LONG), "lost");
    const last = refused(answer(engine, LONG), "lost");
    await Promise.all([running, next, last]);
    assert.match(await engine.lost, FATAL.lose);
    assert.deepEqual([engine.stats().state, engine.stats().restarts], ["lost", 1]);
    await refused(answer(engine), "lost");
    await engine.drain();
  } finally {
    await engine.close();
  }
});

Deno.test('fault "invalid": of a batch only its own request fails, and the worker goes on', () =>
  withEngine(
    {
      ...{ model: MODEL, slots: 3, restarts: 1, deterministic: true },
      fault: { kind: "invalid", step: 6, workers: 1 },
    },
    async (engine) => {
      const running = refused(answer(engine, { ...LONG, maxNewTokens: 500 }), "failed");
      const others = [OTHER, { ...OTHER, prompt: [7, 8, 9] }];
      const beside = others.map((other) => answer(engine, other));
      await running;
      assert(engine.stats().rows > engine.stats().steps, "they shared steps");
      for (const [i, other] of others.entries()) {
        assert.deepEqual(await beside[i], await answer(engine, other));
      }
      assert.equal(engine.stats().restarts, 0);
    },
  ));

Deno.test("fault while draining: who waits is served by the next worker, then it has drained", async () => {
  const fault: Fault = { kind: "throw", step: 6, workers: 1 };
  const engine = start({ model: MODEL, slots: 1, restarts: 1, fault });
  try {
    await engine.ready;
    const running = refused(answer(engine, LONG), "failed");
    const waiting = answer(engine, OTHER);
    const drained = engine.drain();
    await running;
    assert.equal(engine.stats().state, "draining");
    assert.equal((await waiting).ids.length, 12);
    await drained;
  } finally {
    await engine.close();
  }
});

Deno.test("closing while the next worker is started ends whoever waits", async () => {
  const fault: Fault = { kind: "throw", step: 6, workers: 1 };
  const engine = start({ model: MODEL, slots: 1, restarts: 1, fault });
  await engine.ready;
  const running = refused(answer(engine, LONG), "failed");
  const waiting = refused(answer(engine, OTHER), "lost");
  await until(() => engine.stats().restarts === 1);
  await engine.close();
  await Promise.all([running, waiting]);
  assert.equal(engine.stats().state, "closed");
});

Deno.test("who waits for the next worker may leave, and is never computed", async () => {
  const fault: Fault = { kind: "throw", step: 6, workers: 1 };
  await withEngine({ model: MODEL, slots: 1, restarts: 1, fault }, async (engine) => {
    const leave = new AbortController();
    const running = refused(answer(engine, LONG), "failed");
    const waiting = answer(engine, OTHER, leave.signal);
    await running;
    const { rows } = engine.stats();
    leave.abort(new Error("left"));
    await assert.rejects(waiting, { message: "left" });
    await until(() => engine.stats().state === "ready");
    await answer(engine, { prompt: [6], maxNewTokens: 4 });
    assert.equal(engine.stats().rows, rows + 1 + 3);
    assert.equal(engine.stats().cancelledQueued, 1);
  });
});
