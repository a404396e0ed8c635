/** Who is let in, who waits, who is refused, and what becomes of them when the engine ends. */
import assert from "node:assert/strict";
import type { Engine, EngineError, GenerateRequest } from "../../model/engine.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import {
  type Answer,
  answer,
  engineTest,
  ofItsOwn,
  refused,
  request,
  start,
  until,
  withEngine,
} from "./engine_rig.ts";

const MODEL = committedGolden("q4-g64-act");
const PROMPTS = loadGolden(MODEL).prompts.map(({ ids }) => ids);

/** Begins an answer that takes long, and reads its first token. */
async function begin(
  engine: Engine,
  changes: Partial<GenerateRequest> = {},
  signal?: AbortSignal,
) {
  const long = request({ prompt: [1, 2, 3], maxNewTokens: 1900, ...changes });
  const reader = engine.generate(long, signal)[Symbol.asyncIterator]();
  await reader.next();
  return reader;
}

/** Reads the rest of an answer; resolves to undefined, or rejects with what ended it. */
async function readOn(reader: AsyncIterator<unknown>): Promise<void> {
  while (!(await reader.next()).done);
}

const INVALID: Record<string, { changes: Partial<GenerateRequest>; says: RegExp }> = {
  "no prompt": { changes: { prompt: [] }, says: /no token/ },
  "an id beyond the vocabulary": { changes: { prompt: [1, 512] }, says: /below 512.* 512/ },
  "a negative id": { changes: { prompt: [-1] }, says: /-1/ },
  "half an id": { changes: { prompt: [1.5] }, says: /1\.5/ },
  "an id that is no number": { changes: { prompt: [NaN] }, says: /NaN/ },
  "no new tokens": { changes: { maxNewTokens: 0 }, says: /at least 1 .* 0/ },
  "half a new token": { changes: { maxNewTokens: 2.5 }, says: /2\.5/ },
  "more than the model holds": {
    changes: { prompt: new Array(2000).fill(1), maxNewTokens: 49 },
    says: /at most 2048 tokens: 2000 and 49/,
  },
  "too many top tokens": { changes: { topTokens: 21 }, says: /0 to 20/ },
};

Deno.test("engine: prompt and answer may be as long as the KV cache", () =>
  withEngine({ model: MODEL, slots: 1, kvBytes: 64 * 512 + 1 }, async (engine) => {
    // 512 bytes a token: two layers of 64 keys and 64 values in half precision.
    assert.equal((await engine.ready).maxPositions, 64);
    assert.equal((await answer(engine, { maxNewTokens: 61 })).ids.length, 61);
    await refused(answer(engine, { maxNewTokens: 62 }), "invalid");
  }));

Deno.test("engine: beyond the queue's limit requests are busy, until somebody leaves", () =>
  withEngine({ model: MODEL, slots: 1, queueLimit: 2 }, async (engine) => {
    const first = await begin(engine);
    const leave = new AbortController();
    const second = answer(engine, {}, leave.signal);
    const third = answer(engine);
    await refused(answer(engine), "busy");
    await until(() => engine.stats().waiting === 2);
    leave.abort(new Error("left"));
    await assert.rejects(second, { message: "left" });
    const fourth = answer(engine);
    await refused(answer(engine), "busy");
    await first.return!();
    assert.deepEqual(await third, await fourth);
    assert.deepEqual(await answer(engine), await third);
  }));

Deno.test("engine: with a queue limit of 0 one request runs and none waits", () =>
  withEngine({ model: MODEL, slots: 1, queueLimit: 0 }, async (engine) => {
    const first = await begin(engine);
    await refused(answer(engine), "busy");
    await first.return!();
    await answer(engine);
  }));

Deno.test("engine: who waits too long for its turn is refused as busy, and keeps no place", () =>
  withEngine({ model: MODEL, slots: 1, queueLimit: 1, queueSeconds: 0.1 }, async (engine) => {
    const expected = await answer(engine);
    const first = await begin(engine);
    const refusal = await answer(engine).then(
      () => assert.fail("it was answered"),
      (error: unknown) => error as EngineError,
    );
    assert.deepEqual([refusal.name, refusal.code], ["EngineError", "busy"]);
    assert(Number.isInteger(refusal.retryAfter) && refusal.retryAfter! >= 1);
    const { refusedLate, refusedFull, rows } = engine.stats();
    assert.deepEqual({ refusedLate, refusedFull }, { refusedLate: 1, refusedFull: 0 });
    // The one that runs is as old by now, and goes on.
    await until(() => engine.stats().rows > rows + 5);
    await first.return!();
    assert.deepEqual(await answer(engine), expected);
  }));

Deno.test("engine: an answer that too much of lies unread is ended, and frees its place", () =>
  withEngine({ model: MODEL, slots: 1, unreadEvents: 10 }, async (engine) => {
    const expected = await answer(engine);
    const leave = new AbortController();
    const silent = await begin(engine, {}, leave.signal);
    const before = engine.stats().rows;
    assert.deepEqual(await answer(engine), expected);
    const { cancelledWriting, running, blocksUsed, rows } = engine.stats();
    assert.deepEqual([cancelledWriting, running, blocksUsed], [1, 0, 0]);
    assert(rows - before < 100, `${rows - before} more rows were computed`);
    // Whoever leaves after that is not counted again.
    leave.abort(new Error("left"));
    const { cancelledDecode, cancelledWriting: still } = engine.stats();
    assert.deepEqual([cancelledDecode, still], [0, 1]);
    await refused(readOn(silent), "unread");
  }));

Deno.test("engine: answers that are computed but not read keep nobody waiting", () =>
  withEngine({ model: MODEL, slots: 1, queueLimit: 1 }, async (engine) => {
    const unread = [];
    // Each begins when the one before is computed; one of them runs and one may wait.
    for (let n = 0; n < 4; n++) unread.push(await begin(engine, { maxNewTokens: 5 }));
    await engine.drain();
    for (const reader of unread) await readOn(reader);
  }));

Deno.test("engine: while loading every request is refused", async () => {
  const engine = start({ model: MODEL, slots: 1 });
  try {
    assert.equal(engine.stats().state, "loading");
    await refused(answer(engine), "loading");
    await engine.ready;
    await answer(engine);
  } finally {
    await engine.close();
  }
});

engineTest("engine: one request after the other", { model: MODEL, slots: 1 }, {
  "requests at once are answered in order, each as when alone": async (engine) => {
    const requests = [0, 1, 2, 0, 1, 2].map((i, n) => ({
      prompt: PROMPTS[i]!,
      maxNewTokens: 6 + n,
      topTokens: n,
      promptLogprobs: n % 2 === 0,
    }));
    const alone: Answer[] = [];
    for (const changes of requests) alone.push(await answer(engine, { ...changes, ...ofItsOwn() }));
    const order: number[] = [];
    const together = await Promise.all(requests.map(async (changes, n) => {
      const found = await answer(engine, { ...changes, ...ofItsOwn() });
      order.push(n);
      return found;
    }));
    assert.deepEqual(together, alone);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  },
  "an impossible request is refused in a sentence, and the next is served": async (engine) => {
    const before = await answer(engine);
    for (const [name, { changes, says }] of Object.entries(INVALID)) {
      const message = await refused(answer(engine, changes), "invalid");
      assert.match(message, says, name);
      assert.match(message, /^[A-Z0-9][^\n]*\.$/, name);
    }
    assert.deepEqual(await answer(engine), before);
    const { waiting, running, blocksUsed } = engine.stats();
    assert.deepEqual({ waiting, running, blocksUsed }, { waiting: 0, running: 0, blocksUsed: 0 });
  },
  "drain lets running and waiting answers end and refuses new ones": async (engine) => {
    const expected = await answer(engine, { maxNewTokens: 60 });
    const running = answer(engine, { maxNewTokens: 60 });
    const waiting = answer(engine, { maxNewTokens: 60 });
    let drained = false;
    const done = engine.drain().then(() => drained = true);
    assert.equal(engine.stats().state, "draining");
    await refused(answer(engine), "draining");
    assert.deepEqual(await running, expected);
    assert.equal(drained, false);
    assert.deepEqual(await waiting, expected);
    await done;
    await engine.drain();
    await refused(answer(engine), "draining");
  },
});

Deno.test("engine: drain does not wait for those who leave", () =>
  withEngine({ model: MODEL, slots: 1 }, async (engine) => {
    const reader = await begin(engine);
    const drained = engine.drain();
    await reader.return!();
    await drained;
  }));

Deno.test("engine: drain while loading ends at once, and the engine stays closed to requests", async () => {
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.drain();
    await engine.ready;
    await refused(answer(engine), "draining");
  } finally {
    await engine.close();
  }
});

Deno.test("engine: closing ends every stream and frees whoever waits", async () => {
  const engine = start({ model: MODEL, slots: 1 });
  await engine.ready;
  const complete = await begin(engine, { maxNewTokens: 5 });
  const broken = await begin(engine);
  const queued = refused(answer(engine), "lost");
  const drained = engine.drain();
  await engine.close();
  await drained;
  await queued;
  await refused(readOn(broken), "lost");
  // All of its tokens had come before.
  await readOn(complete);
  const { state, running, waiting, blocksUsed } = engine.stats();
  assert.deepEqual([state, running, waiting, blocksUsed], ["closed", 0, 0, 0]);
  await refused(answer(engine), "lost");
  await engine.close();
});

Deno.test("engine: closing while loading rejects `ready`", async () => {
  const engine = start({ model: MODEL, slots: 1 });
  await engine.close();
  await refused(engine.ready, "lost");
  await refused(answer(engine), "lost");
});
