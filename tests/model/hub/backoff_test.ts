/** When a request is tried again, and after how long. */
import assert from "node:assert/strict";
import { Backoff, passesByItself, retryAfter, Transient } from "../../../model/hub/backoff.ts";
import { HubError } from "../../../model/hub/error.ts";

const never = new AbortController().signal;

Deno.test("waits double, and start again after a success", async () => {
  const waits: number[] = [];
  const wait = (seconds: number) => {
    waits.push(seconds);
    return Promise.resolve();
  };
  const backoff = new Backoff({ wait }, never);
  for (let i = 0; i < 5; i++) await backoff.failed(new Transient("x answered 500"));
  backoff.succeeded();
  for (let i = 0; i < 5; i++) await backoff.failed(new Transient("x answered 500"));
  assert.deepEqual(waits, [0.5, 1, 2, 4, 8, 0.5, 1, 2, 4, 8]);
  await assert.rejects(
    backoff.failed(new Transient("x answered 500")),
    new HubError("x answered 500, 6 times in a row. Try again later."),
  );
});

Deno.test("what a server asks for counts, but not for ever", async () => {
  const waits: number[] = [];
  const wait = (seconds: number) => {
    waits.push(seconds);
    return Promise.resolve();
  };
  const backoff = new Backoff({ wait }, never);
  await backoff.failed(new Transient("x answered 429", 42));
  await backoff.failed(new Transient("x answered 429", 0));
  assert.deepEqual(waits, [42, 0]);
  await assert.rejects(
    backoff.failed(new Transient("x answered 429", 3600)),
    new HubError("x answered 429 and wants no other request for 3600 seconds."),
  );
});

Deno.test("other errors are not tried again, and a wait can be stopped", async () => {
  const wrong = new TypeError("a mistake");
  await assert.rejects(new Backoff({}, never).failed(wrong), wrong);
  const stopped = new AbortController();
  const failing = new Backoff({}, stopped.signal).failed(new Transient("x", 100));
  stopped.abort(new Error("enough"));
  await assert.rejects(failing, new Error("enough"));
});

Deno.test("Retry-After is a number or a date; the hub has a header of its own", () => {
  const now = Date.parse("2026-11-25T00:00:00Z");
  const read = (headers: Record<string, string>) => retryAfter(new Headers(headers), now);
  assert.equal(read({ "retry-after": "7" }), 7);
  assert.equal(read({ "retry-after": "Wed, 25 Nov 2026 00:00:30 GMT" }), 30);
  assert.equal(read({ "retry-after": "Tue, 24 Nov 2026 00:00:00 GMT" }), 0);
  assert.equal(read({ ratelimit: '"resolvers";r=0;t=55' }), 55);
  assert.equal(read({ "retry-after": "soon" }), undefined);
  assert.equal(read({}), undefined);
});

Deno.test("only statuses that pass by themselves are tried again", () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504]) assert.ok(passesByItself(status));
  for (const status of [200, 301, 400, 401, 403, 404, 405, 416, 501]) {
    assert.ok(!passesByItself(status));
  }
});
