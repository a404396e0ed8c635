/** What is counted outlives the worker that counted it; what it was doing does not. */
import assert from "node:assert/strict";
import { EngineCounters } from "../../model/engine_counters.ts";
import { COUNTERS } from "../../model/messages.ts";

/** Writes as a worker does. */
function write(counters: EngineCounters, figures: Partial<Record<keyof typeof COUNTERS, number>>) {
  const places = new Float64Array(counters.shared);
  for (const [name, value] of Object.entries(figures)) {
    places[COUNTERS[name as keyof typeof COUNTERS]] = value;
  }
}

Deno.test("counters: each place is one figure, and nothing else is read from it", () => {
  const names = Object.keys(COUNTERS) as (keyof typeof COUNTERS)[];
  const none = new EngineCounters().read(false);
  for (const name of names) {
    const counters = new EngineCounters();
    write(counters, { [name]: 7 });
    assert.deepEqual(counters.read(false), { ...none, [name]: 7 });
  }
});

Deno.test("counters: the next worker's are added to what its predecessor counted", () => {
  const counters = new EngineCounters();
  write(counters, { running: 3, waiting: 2, blocksUsed: 5, rows: 40, steps: 9, guessesRight: 4 });
  counters.restart(2);
  const between = counters.read(false);
  assert.deepEqual([between.rows, between.steps, between.guessesRight], [40, 9, 4]);
  assert.deepEqual([between.running, between.waiting, between.blocksUsed], [0, 2, 0]);
  write(counters, { running: 1, waiting: 0, rows: 5, steps: 2 });
  const after = counters.read(false);
  assert.deepEqual([after.rows, after.steps, after.guessesRight], [45, 11, 4]);
  assert.deepEqual([after.running, after.waiting, after.restarts], [1, 0, 1]);
});

Deno.test("counters: of a worker that is gone nothing runs and nothing waits", () => {
  const counters = new EngineCounters();
  write(counters, { running: 3, waiting: 2, blocksUsed: 5, blocksTotal: 64, rows: 40 });
  const { running, waiting, blocksUsed, blocksTotal, rows } = counters.read(true);
  assert.deepEqual([running, waiting, blocksUsed], [0, 0, 0]);
  assert.deepEqual([blocksTotal, rows], [64, 40]);
});

Deno.test("counters: who left is told by phase", () => {
  const counters = new EngineCounters();
  counters.cancelled.queued = 1;
  counters.cancelled.prefill = 2;
  counters.cancelled.decode = 3;
  counters.cancelled.writing = 4;
  counters.restart(0);
  const { cancelledQueued, cancelledPrefill, cancelledDecode, cancelledWriting } = counters.read(
    false,
  );
  assert.deepEqual(
    [cancelledQueued, cancelledPrefill, cancelledDecode, cancelledWriting],
    [1, 2, 3, 4],
  );
});
