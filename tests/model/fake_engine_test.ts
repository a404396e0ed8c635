/** The fake keeps the promises of the engine boundary; other tests lean on that. */
import assert from "node:assert/strict";
import {
  EngineError,
  type EngineErrorCode,
  type GenerateRequest,
  GREEDY,
  type TokenEvent,
} from "../../model/engine.ts";
import { FakeEngine } from "./fake_engine.ts";

function request(changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    prompt: [1, 2, 3],
    maxNewTokens: 4,
    sampling: GREEDY,
    stopTokens: [11],
    topTokens: 0,
    promptLogprobs: false,
    ...changes,
  };
}

async function collect(engine: FakeEngine, changes: Partial<GenerateRequest> = {}) {
  const events: TokenEvent[] = [];
  for await (const event of engine.generate(request(changes))) events.push(event);
  return events;
}

const ids = (events: TokenEvent[]) => events.flatMap((event) => "id" in event ? [event.id] : []);

async function refused(engine: FakeEngine, code: EngineErrorCode, changes = {}) {
  await assert.rejects(
    collect(engine, changes),
    (error) => error instanceof EngineError && error.code === code,
  );
}

Deno.test("fake: a script starts over until the length is reached", async () => {
  const events = await collect(new FakeEngine({ script: [5, 6, 7] }));
  assert.deepEqual(ids(events), [5, 6, 7, 5]);
  const finishes = events.map((event) => event.type === "token" ? event.finish : "prompt");
  assert.deepEqual(finishes, [undefined, undefined, undefined, "length"]);
});

Deno.test("fake: a stop token ends the answer", async () => {
  const events = await collect(new FakeEngine({ script: [5, 11, 7] }));
  assert.deepEqual(ids(events), [5, 11]);
  const [first, last] = events;
  assert.ok(first!.type === "token" && first!.finish === undefined);
  assert.ok(last!.type === "token" && last!.finish === "stop_token");
});

Deno.test("fake: a scripting function sees the request", async () => {
  const engine = new FakeEngine({ script: ({ prompt }, index) => prompt[0]! + index });
  assert.deepEqual(ids(await collect(engine, { prompt: [100] })), [100, 101, 102, 103]);
});

Deno.test("fake: alternatives and prompt log-probabilities when asked for", async () => {
  const engine = new FakeEngine({ script: [{ id: 5, logprob: -1, processedLogprob: -2 }] });
  const changes = { topTokens: 2, promptLogprobs: true, maxNewTokens: 1 };
  const [prompt, token] = await collect(engine, changes);
  assert.deepEqual(prompt, {
    type: "prompt",
    logprobs: [null, -0.25, -0.5],
    top: [
      [],
      [{ id: 2, logprob: -0.25 }, { id: 3, logprob: -1.25 }],
      [{ id: 3, logprob: -0.5 }, { id: 4, logprob: -1.5 }],
    ],
  });
  assert.deepEqual(token, {
    type: "token",
    id: 5,
    logprob: -1,
    processedLogprob: -2,
    top: [{ id: 5, logprob: -1 }, { id: 6, logprob: -2 }],
    processedTop: [{ id: 5, logprob: -2 }, { id: 6, logprob: -3 }],
    finish: "length",
  });
});

Deno.test("fake: every state but ready refuses, and impossible requests are invalid", async () => {
  await refused(new FakeEngine({ state: "loading" }), "loading");
  await refused(new FakeEngine({ state: "draining" }), "draining");
  await refused(new FakeEngine({ state: "lost" }), "lost");
  await refused(new FakeEngine({ state: "closed" }), "lost");
  await refused(new FakeEngine(), "invalid", { prompt: [] });
  await refused(new FakeEngine(), "invalid", { prompt: [268] });
  await refused(new FakeEngine(), "invalid", { maxNewTokens: 2046 });
});

Deno.test("fake: one request more than its capacity is busy", async () => {
  const engine = new FakeEngine({ capacity: 1 });
  const first = engine.generate(request());
  await first.next();
  assert.equal(engine.stats().running, 1);
  await refused(engine, "busy");
  await first.return(undefined);
  assert.equal((await collect(engine)).length, 4);
  assert.equal(engine.cancellations, 1);
});

Deno.test("fake: it fails after as many tokens as it is told to", async () => {
  const engine = new FakeEngine({ failAfter: 2 });
  await refused(engine, "failed");
  assert.deepEqual(engine.requests.map(({ outcome, tokens }) => [outcome, tokens]), [[
    "failed",
    2,
  ]]);
});

Deno.test("fake: loading ends when told", async () => {
  const engine = new FakeEngine({ state: "loading", progress: 0.5 });
  assert.equal(engine.stats().progress, 0.5);
  engine.finishLoading();
  assert.equal((await engine.ready).model, "fake");
  assert.equal(engine.stats().state, "ready");
});

Deno.test("fake: drain waits for the running request and takes no new one", async () => {
  const engine = new FakeEngine({ script: [5] });
  const running = engine.generate(request());
  await running.next();
  let drained = false;
  const drain = engine.drain().then(() => drained = true);
  await refused(engine, "draining");
  assert.equal(drained, false);
  for await (const _ of running);
  await drain;
  assert.equal(engine.requests[0]!.outcome, "finished");
});

Deno.test("fake: losing the GPU breaks off what runs", async () => {
  const engine = new FakeEngine();
  const running = engine.generate(request());
  await running.next();
  engine.lose("gone");
  await assert.rejects(() => running.next(), { code: "lost", message: "gone" });
  assert.equal(await engine.lost, "gone");
  assert.equal(engine.requests[0]!.outcome, "failed");
});
