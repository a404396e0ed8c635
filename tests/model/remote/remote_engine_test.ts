/** The engine behind sidecars: the same answers, who gets which request, and what failures become. */
import assert from "node:assert/strict";
import { EngineError, type TokenEvent } from "../../../model/engine.ts";
import { FOREVER, until } from "../../routes/helpers.ts";
import { FakeEngine } from "../fake_engine.ts";
import { eventsOf, FakeSidecar, request, withEdge } from "./rig.ts";

const ACCEPTED = '{"accepted":true}';

/** Waits until the edge sees this many sidecars that take requests. */
function found(notes: string[], count: number): Promise<void> {
  return until(() => notes.filter((note) => note.endsWith("takes requests.")).length === count);
}

Deno.test("events are those of the engine behind it, whatever is asked for", async () => {
  const script = [30, { id: 31, logprob: -1, processedLogprob: -Infinity }];
  await using sidecar = new FakeSidecar({ script });
  await withEdge([sidecar], async ({ engine }) => {
    assert.deepEqual(await engine.ready, sidecar.engine.info);
    const changes = { topTokens: 2, promptLogprobs: true, cacheScope: "a", affinity: "b" };
    const expected = await eventsOf(new FakeEngine({ script }), changes);
    assert.deepEqual(await eventsOf(engine, changes), expected);
    assert.deepEqual(sidecar.engine.requests[0]!.request, request(changes));
    assert.deepEqual(await eventsOf(engine), await eventsOf(new FakeEngine({ script })));
  });
});

Deno.test("a session stays where it is, a growing prompt too, and sessions spread", async () => {
  await using a = new FakeSidecar();
  await using b = new FakeSidecar();
  await withEdge([a, b], async ({ engine, notes }) => {
    await found(notes, 2);
    const counts = () => [a, b].map(({ engine }) => engine.requests.length);
    for (let turn = 1; turn <= 6; turn++) {
      await eventsOf(engine, { affinity: "x", prompt: Array(turn).fill(20 + turn) });
    }
    assert.deepEqual(counts().sort(), [0, 6]);
    const before = counts();
    const opening = Array.from({ length: 40 }, (_, i) => i + 20);
    for (let turn = 0; turn < 6; turn++) {
      await eventsOf(engine, { prompt: [...opening, ...Array(turn).fill(20)] });
    }
    assert.deepEqual(counts().map((count, i) => count - before[i]!).sort(), [0, 6]);
    for (let session = 0; session < 40; session++) {
      await eventsOf(engine, { affinity: `session ${session}` });
    }
    assert.ok(counts().every((count) => count > 4), String(counts()));
  });
});

Deno.test("requests of one session spread when its sidecar has clearly more than the other", async () => {
  await using a = new FakeSidecar({ delay: FOREVER });
  await using b = new FakeSidecar({ delay: FOREVER });
  await withEdge([a, b], async ({ engine, notes }) => {
    await found(notes, 2);
    const leave = new AbortController();
    const all = Array.from(
      { length: 8 },
      () => eventsOf(engine, { affinity: "x" }, leave.signal).catch(() => {}),
    );
    await until(() => a.engine.running + b.engine.running === 8);
    const most = Math.max(a.engine.running, b.engine.running);
    assert.ok(most >= 4 && most <= 5, `${most} of 8`);
    leave.abort();
    await Promise.all(all);
  });
});

Deno.test("a sidecar that dies before the first token is retried on another, unnoticed", async () => {
  await using a = new FakeSidecar();
  await using b = new FakeSidecar();
  const expected = await eventsOf(new FakeEngine(), { promptLogprobs: true });
  for (const [dying, other] of [[a, b], [b, a]] as const) {
    dying.breakAfter([ACCEPTED, '{"prompt":[null,-0.25],"top":[[],[]]}']);
    await withEdge([a, b], async ({ engine, notes }) => {
      await found(notes, 2);
      const before = other.engine.requests.length;
      for (let i = 0; i < 30; i++) {
        const events = await eventsOf(engine, { promptLogprobs: true, affinity: String(i) });
        assert.deepEqual(events, expected);
      }
      assert.equal(other.engine.requests.length - before, 30);
      assert.ok(notes.some((note) => note.startsWith(dying.url) && !/takes requests/.test(note)));
    });
    dying.intercept = undefined;
  }
});

Deno.test("one that dies after the first token ends that stream with an error, not another", async () => {
  await using a = new FakeSidecar();
  a.breakAfter([ACCEPTED, '{"token":[30,-1,-1]}', '{"token":[31,-1,-1]}']);
  await withEdge([a], async ({ engine }) => {
    await engine.ready;
    const events: TokenEvent[] = [];
    await assert.rejects(async () => {
      for await (const event of engine.generate(request())) events.push(event);
    }, { name: "EngineError", code: "lost" });
    assert.deepEqual(events.map((event) => event.type === "token" && event.id), [30, 31]);
  });
});

Deno.test("an answer that ends without its last token is an error, not an answer", async () => {
  await using a = new FakeSidecar();
  a.intercept = ({ method }) =>
    method === "POST"
      ? new Response(`data: [${ACCEPTED}]\n\ndata: [{"token":[1,-1,-1]}]\n\n`)
      : undefined;
  await withEdge([a], async ({ engine }) => {
    await engine.ready;
    await assert.rejects(eventsOf(engine), { code: "lost" });
    a.intercept = ({ method }) =>
      method === "POST" ? new Response("data: {no json\n\n") : undefined;
    await until(() => engine.stats().state === "ready");
    await assert.rejects(eventsOf(engine), { code: "unavailable" });
  });
});

Deno.test("what is wrong with a request is told at once; busy only when all are", async () => {
  await using a = new FakeSidecar({ capacity: 0 });
  await using b = new FakeSidecar();
  await withEdge([a, b], async ({ engine, notes }) => {
    await found(notes, 2);
    for (let i = 0; i < 8; i++) {
      assert.equal((await eventsOf(engine, { affinity: String(i) })).length, 5);
    }
    assert.equal(b.engine.requests.length, 8);
    await assert.rejects(eventsOf(engine, { prompt: [999] }), { code: "invalid" });
    b.engine.error = new EngineError("failed", "no numbers");
    b.engine.failAfter = 0;
    a.engine.capacity = 9;
    a.engine.failAfter = 0;
    await assert.rejects(eventsOf(engine), { code: "failed" });
    assert.equal(a.engine.requests.length + b.engine.requests.length, 9);
    a.engine.capacity = b.engine.capacity = 0;
    await assert.rejects(eventsOf(engine), { code: "busy" });
    assert.equal(engine.stats().state, "ready");
  });
});

Deno.test("busy says when to come back, and what was not read is no fault of its sidecar", async () => {
  await using a = new FakeSidecar({
    error: new EngineError("busy", "The request waited too long for its turn.", 17),
    failAfter: 0,
  });
  await withEdge([a], async ({ engine, notes }) => {
    await engine.ready;
    await assert.rejects(eventsOf(engine), { code: "busy", retryAfter: 17 });
    a.engine.error = new EngineError("unread", "The answer was not read.");
    a.engine.failAfter = 2;
    const events: TokenEvent[] = [];
    await assert.rejects(async () => {
      for await (const event of engine.generate(request())) events.push(event);
    }, { name: "EngineError", code: "unread" });
    assert.equal(events.length, 2);
    assert.equal(engine.stats().state, "ready");
    assert.equal(notes.length, 1);
  });
});

Deno.test("a sidecar that drains ends what it has and gets nothing new", async () => {
  await using a = new FakeSidecar({ delay: 10 });
  await using b = new FakeSidecar({ delay: 10 });
  await withEdge([a, b], async ({ engine, notes }) => {
    await found(notes, 2);
    const running = Array.from({ length: 6 }, () => eventsOf(engine, { maxNewTokens: 40 }));
    await until(() => a.engine.running > 0 && b.engine.running > 0);
    const had = a.engine.requests.length;
    a.engine.drain();
    const later = Array.from({ length: 30 }, (_, i) => eventsOf(engine, { affinity: String(i) }));
    assert.ok((await Promise.all(running)).every((events) => events.length === 40));
    assert.ok((await Promise.all(later)).every((events) => events.length === 5));
    assert.equal(a.engine.requests.length, had);
    assert.ok(notes.includes(`${a.url} is draining.`), String(notes));
  });
});

Deno.test("with none left requests are refused, and with one back they are answered", async () => {
  let { port } = await (async () => {
    await using first = new FakeSidecar();
    return first;
  })();
  await withEdge([{ url: `http://127.0.0.1:${port}` }], async ({ engine }) => {
    let lost = false;
    engine.lost.then(() => lost = true);
    assert.equal(engine.stats().state, "loading");
    await assert.rejects(eventsOf(engine), { code: "loading" });
    for (let round = 0; round < 2; round++) {
      await using sidecar = new FakeSidecar({}, { port });
      ({ port } = sidecar);
      await until(() => engine.stats().state === "ready");
      assert.equal((await eventsOf(engine)).length, 5);
      await sidecar[Symbol.asyncDispose]();
      await until(() => engine.stats().state === "unavailable");
      await assert.rejects(eventsOf(engine), { code: "unavailable" });
    }
    assert.equal(lost, false);
  });
});

Deno.test("figures add up, and counters never fall when a sidecar begins anew", async () => {
  const a = new FakeSidecar();
  await using b = new FakeSidecar();
  await withEdge([a, b], async ({ engine, notes }) => {
    await found(notes, 2);
    for (let i = 0; i < 30; i++) await eventsOf(engine, { affinity: String(i) });
    assert.ok([a, b].every(({ engine }) => engine.requests.length > 0));
    await until(() => engine.stats().rows === 150);
    assert.equal(engine.stats().blocksTotal, 128);
    await a[Symbol.asyncDispose]();
    await until(() => notes.some((note) => note.startsWith(a.url) && !/takes/.test(note)));
    await using _again = new FakeSidecar({}, { port: a.port });
    await found(notes, 3);
    assert.equal(engine.stats().rows, 150);
    for (let i = 0; i < 30; i++) await eventsOf(engine, { affinity: String(i) });
    await until(() => engine.stats().rows === 300);
  });
});

Deno.test("a client that leaves ends the work on the sidecar, waiting or answered", async () => {
  for (const delay of [FOREVER, 5]) {
    await using a = new FakeSidecar({ delay });
    await withEdge([a], async ({ engine }) => {
      await engine.ready;
      const gone = new Error("the client left");
      const leave = new AbortController();
      const answer = eventsOf(engine, { maxNewTokens: 1500 }, leave.signal);
      await until(() =>
        a.engine.running === 1 && (delay === FOREVER || a.engine.requests[0]!.tokens > 2)
      );
      leave.abort(gone);
      await assert.rejects(answer, gone);
      await until(() => a.engine.cancellations === 1);
    });
  }
  await using a = new FakeSidecar({ delay: 5 });
  await withEdge([a], async ({ engine }) => {
    await engine.ready;
    for await (const _ of engine.generate(request({ maxNewTokens: 1500 }))) break;
    await until(() => a.engine.cancellations === 1);
    assert.equal(engine.stats().state, "ready");
  });
});

Deno.test("another model or another key is refused by name; one that fits is enough", async () => {
  await using fits = new FakeSidecar();
  await using other = new FakeSidecar({ info: { model: "falcon" } }, { fingerprint: "beef" });
  await withEdge([other], async ({ engine }) => {
    await assert.rejects(engine.ready, {
      message:
        `${other.url} serves falcon with another tokenizer or configuration than this edge has.`,
    });
  });
  await withEdge([fits], async ({ engine }) => {
    await assert.rejects(engine.ready, { message: `${fits.url} has another sidecar key.` });
  }, { key: "wrong" });
  await withEdge([other, fits], async ({ engine, notes }) => {
    await engine.ready;
    await until(() => notes.length === 2);
    for (let i = 0; i < 8; i++) await eventsOf(engine, { affinity: String(i) });
    assert.equal(other.engine.requests.length, 0);
  });
});

Deno.test("it drains and closes as any engine does", async () => {
  await using a = new FakeSidecar({ delay: 5 });
  await withEdge([a], async ({ engine }) => {
    await engine.ready;
    const running = eventsOf(engine, { maxNewTokens: 20 });
    await until(() => a.engine.running === 1);
    const drained = engine.drain();
    await assert.rejects(eventsOf(engine), { code: "draining" });
    await drained;
    assert.equal((await running).length, 20);
  });
  await withEdge([a], async ({ engine }) => {
    await engine.ready;
    const running = eventsOf(engine, { maxNewTokens: 1500 });
    await until(() => a.engine.running === 1);
    await engine.close();
    await assert.rejects(running, { code: "lost" });
    await until(() => a.engine.running === 0);
  });
});
