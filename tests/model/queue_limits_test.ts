/** How many are let in, and when others should come back. */
import assert from "node:assert/strict";
import { QueueLimits } from "../../model/queue_limits.ts";

Deno.test("queue: as many as run at once, and those that may wait", () => {
  const limits = new QueueLimits(3);
  assert.deepEqual([0, 3, 4, 5].map((requests) => limits.isFull(requests)), [
    false,
    false,
    true,
    true,
  ]);
  limits.slots = 8;
  assert.deepEqual([10, 11].map((requests) => limits.isFull(requests)), [false, true]);
});

Deno.test("queue: the time to come back grows with the queue and falls with the slots", () => {
  const limits = new QueueLimits(100);
  // Nothing is known yet.
  assert.equal(limits.retryAfter(50), 1);
  limits.note(2);
  assert.deepEqual([0, 1, 3, 5, 1000].map((waiting) => limits.retryAfter(waiting)), [
    1,
    2,
    6,
    10,
    60,
  ]);
  limits.slots = 4;
  assert.deepEqual([1, 3, 10].map((waiting) => limits.retryAfter(waiting)), [1, 2, 5]);
  // A longer answer weighs a fifth: 0.8 · 2 + 0.2 · 12 = 4 seconds.
  limits.note(12);
  assert.equal(limits.retryAfter(10), 10);
});
