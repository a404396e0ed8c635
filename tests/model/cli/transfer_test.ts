/** What is said of a download on its way. */
import assert from "node:assert/strict";
import {
  describe,
  formatSeconds,
  progressEvents,
  Speed,
  transfer,
} from "../../../model/cli/transfer.ts";
import { formatBytes } from "../../../model/sizes.ts";
import { captured } from "./captured.ts";

Deno.test("the speed is that of the last seconds", () => {
  const speed = new Speed();
  assert.equal(speed.update(0, 0), undefined);
  assert.equal(speed.update(100, 0.2), undefined);
  assert.equal(speed.update(1000, 1), 1000);
  for (let second = 2; second <= 30; second++) speed.update(1000 + 10 * second, second);
  assert.equal(speed.update(1000 + 310, 31), 10);
  assert.equal(speed.update(1310, 60), 0);
});

Deno.test("bytes, speed and time left in words", () => {
  const state = { done: 1.62e9, total: 4.04e9, fetched: 0 };
  assert.equal(describe(state, 35.2e6), "1.62 GB of 4.04 GB, 35.20 MB/s, 1 min 9 s left");
  assert.equal(describe(state, undefined), "1.62 GB of 4.04 GB");
  assert.equal(describe(state, 0), "1.62 GB of 4.04 GB, 0 bytes/s");
  assert.equal(describe({ ...state, done: 4.04e9 }, 35.2e6), "4.04 GB of 4.04 GB");
  const times = {
    0: "0 s",
    0.2: "1 s",
    59: "59 s",
    60: "1 min 0 s",
    3599.5: "1 h 0 min",
    7260: "2 h 1 min",
  };
  for (const [seconds, text] of Object.entries(times)) {
    assert.equal(formatSeconds(Number(seconds)), text);
  }
  const sizes = {
    0: "0 bytes",
    999: "999 bytes",
    1000: "1.00 kB",
    4041137920: "4.04 GB",
    2e15: "2000.00 TB",
  };
  for (const [bytes, text] of Object.entries(sizes)) assert.equal(formatBytes(Number(bytes)), text);
});

Deno.test({
  name: "off a terminal: a line at the start and one at the end of a quick download",
  ignore: Deno.stderr.isTerminal(),
  fn: async () => {
    const { stderr } = await captured(() => {
      const shown = transfer("X");
      for (let done = 0; done <= 4000; done += 10) {
        shown.update({ done, total: 4000, fetched: done });
      }
      shown.end();
      return Promise.resolve(0);
    });
    assert.equal(stderr, "X: 0 %, 0 bytes of 4.00 kB\nX: 100 %, 4.00 kB of 4.00 kB\n");
  },
});

Deno.test("events are plain numbers, the last one always among them", () => {
  const events: Record<string, unknown>[] = [];
  const report = progressEvents((event) => events.push(event));
  for (let done = 0; done <= 100; done++) report({ file: "f", done, total: 100, fetched: done });
  assert.deepEqual(events.map(({ file, done, total, fetched }) => [file, done, total, fetched]), [
    ["f", 0, 100, 0],
    ["f", 100, 100, 100],
  ]);
});
