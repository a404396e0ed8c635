/** The stand-in for an engine that is still being made. */
import assert from "node:assert/strict";
import { type Engine, GREEDY } from "../../model/engine.ts";
import { deferEngine } from "../../routes/deferred_engine.ts";
import { FakeEngine } from "../model/fake_engine.ts";

const REQUEST = {
  prompt: [1],
  maxNewTokens: 2,
  sampling: GREEDY,
  stopTokens: [],
  topTokens: 0,
  promptLogprobs: false,
};

const named = Promise.resolve({ name: "org/claire", revision: "main", commit: "c0ffee" });

async function firstToken(engine: Engine): Promise<number> {
  for await (const event of engine.generate(REQUEST)) if (event.type === "token") return event.id;
  throw new Error("there was no token");
}

Deno.test("it is loading until the engine is there, then the engine, under its own name", async () => {
  const starting = Promise.withResolvers<Engine>();
  const engine = deferEngine(starting.promise, named, () => 0.25);
  assert.equal(engine.stats().state, "loading");
  assert.equal(engine.stats().progress, 0.25);
  await assert.rejects(firstToken(engine), { name: "EngineError", code: "loading" });

  const fake = new FakeEngine({ script: [7], info: { model: "/home/me/models/claire" } });
  starting.resolve(fake);
  const info = await engine.ready;
  assert.deepEqual(info, { ...fake.info, model: "org/claire", revision: "main", commit: "c0ffee" });
  assert.equal(engine.stats().state, "ready");
  assert.equal(await firstToken(engine), 7);

  fake.lose("gone");
  assert.equal(await engine.lost, "gone");
  assert.equal(engine.stats().state, "lost");
});

Deno.test("if the engine cannot be made, `ready` says why", async () => {
  const engine = deferEngine(Promise.reject(new Error("no room on the disk")), named);
  await assert.rejects(engine.ready, { message: "no room on the disk" });
  assert.equal(engine.stats().state, "lost");
  await assert.rejects(firstToken(engine), { code: "lost" });
  await engine.drain();
  await engine.close();
});

Deno.test("closing and draining before the engine is there reach it later", async () => {
  for (const [order, state] of [["close", "closed"], ["drain", "draining"]] as const) {
    const starting = Promise.withResolvers<Engine>();
    const engine = deferEngine(starting.promise, named);
    await engine[order]();
    assert.equal(engine.stats().state, state);
    const fake = new FakeEngine();
    starting.resolve(fake);
    await engine.ready;
    assert.equal(fake.state, state);
  }
});
