/** Several answers at a time: none is lost or mixed up, and those that find no place wait for one. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EngineError } from "../../model/engine.ts";
import { severalAnswers, type Start } from "../../routes/several.ts";
import { FOREVER, ids, jsonPost, readStream, testApp, until, withServer } from "./helpers.ts";

const never = new AbortController().signal;
const pause = (turns: number) => new Promise((resolve) => setTimeout(resolve, turns));
const busy = () => new EngineError("busy", "full");

Deno.test("every value comes once, those of an answer in order, never more than so many at a time", async () => {
  const answer = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(answer, { maxLength: 7 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      async (answers, most, places) => {
        let [running, highest] = [0, 0];
        const starts = answers.map((waits): Start<number> =>
          async function* () {
            // As an engine does that has so many places and no queue.
            if (running === places) throw busy();
            highest = Math.max(highest, ++running);
            try {
              for (const [i, turns] of waits.entries()) {
                if (turns > 0) await pause(turns);
                yield i;
              }
            } finally {
              running--;
            }
          }
        );
        const seen = answers.map((): number[] => []);
        for await (const [nth, value] of severalAnswers(starts, most, never)) {
          seen[nth]!.push(value);
        }
        assert.deepEqual(seen, answers.map((waits) => [...waits.keys()]));
        assert(highest <= most);
        assert.equal(running, 0);
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("only where not even one answer finds a place is the request refused", async () => {
  let tries = 0;
  const full: Start<number> = async function* () {
    tries++;
    throw busy();
    // deno-lint-ignore no-unreachable
    yield 0;
  };
  const read = (starts: Start<number>[]) =>
    Array.fromAsync(severalAnswers(starts, starts.length, never));
  await assert.rejects(read([full]), { code: "busy" });
  assert.equal(tries, 1);
  await assert.rejects(read([full, full, full]), { code: "busy" });
  // One that was refused after it had begun cannot be taken back.
  const late: Start<number> = async function* () {
    yield 1;
    throw busy();
  };
  const long: Start<number> = async function* (signal) {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    yield 0;
  };
  await assert.rejects(read([late, long]), { code: "busy" });
});

Deno.test("one that fails ends the others, and so does whoever leaves", async () => {
  let ended = 0;
  const endless: Start<number> = async function* (signal) {
    try {
      for (let i = 0;; i++) {
        yield i;
        await pause(1);
        signal.throwIfAborted();
      }
    } finally {
      ended++;
    }
  };
  const failing: Start<number> = async function* () {
    yield 0;
    throw new Error("broken");
  };
  const all = severalAnswers([endless, failing, endless], 3, never);
  await assert.rejects(Array.fromAsync(all), { message: "broken" });
  assert.equal(ended, 2);
  for await (const _ of severalAnswers([endless, endless], 2, never)) break;
  assert.equal(ended, 4);
});

const FOUR = { info: { slots: 4 } };
const ROUTES: [path: string, body: object, answers: number][] = [
  ["/v1/completions", { prompt: "a", n: 2, best_of: 4, max_tokens: 3 }, 4],
  ["/v1/completions", { prompt: ["a", "b"], n: 2, max_tokens: 3 }, 4],
  ["/v1/chat/completions", { messages: [{ role: "user", content: "a" }], n: 3, max_tokens: 3 }, 3],
  ["/v1/completions", { prompt: "a", n: 3, max_tokens: 3, stream: true }, 3],
  ["/generate", { inputs: "a", parameters: { best_of: 2, do_sample: true, max_new_tokens: 3 } }, 2],
  ["/api/v1/generate", { prompt: "a", n: 4, max_length: 3 }, 4],
];

Deno.test("a client that leaves ends all the answers to its request, which run at once", async () => {
  for (const [path, body, answers] of ROUTES) {
    const { app, engine, log } = testApp({ ...FOUR, delay: FOREVER });
    await withServer(app, async (url) => {
      const leave = new AbortController();
      const answer = fetch(url + path, jsonPost(body, leave.signal));
      await until(() => engine.running === answers);
      leave.abort();
      await assert.rejects(answer, { name: "AbortError" });
      await until(() => engine.cancellations === answers && log.length === 1);
      assert.equal(engine.requests.length, answers);
    });
  }
});

Deno.test("with fewer places than answers they take turns; with none the request is refused", async () => {
  for (const [path, body, answers] of ROUTES) {
    const { post, engine } = testApp({ ...FOUR, script: ids("abc"), capacity: 1, delay: 1 });
    const response = await post(path, body);
    assert.equal(response.status, 200, path);
    await response.text();
    const outcomes = engine.requests.map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, Array(answers).fill("finished"), path);
    engine.capacity = 0;
    const refused = await post(path, body);
    await refused.text();
    assert([429, 503].includes(refused.status), `${path}: ${refused.status}`);
  }
});

Deno.test("the chunks of several choices come as they are made, each choice's first one as such", async () => {
  const { post } = testApp({ ...FOUR, script: ids("abc"), delay: 1 });
  const body = { messages: [{ role: "user", content: "a" }], n: 3, max_tokens: 3, stream: true };
  const { chunks, done } = await readStream(await post("/v1/chat/completions", body));
  assert(done);
  const texts = ["", "", ""];
  const order: number[] = [];
  for (const { choices: [{ index, delta }] } of chunks) {
    assert.equal(delta.role, order.includes(index) ? undefined : "assistant");
    order.push(index);
    texts[index] += delta.content ?? "";
  }
  assert.deepEqual(texts, ["abc", "abc", "abc"]);
  assert.deepEqual(order.slice(0, 3).sort(), [0, 1, 2]);
});

Deno.test("a stream that repeats its prompt is refused with a status where the engine is full", async () => {
  const { post } = testApp({ capacity: 0 });
  const body = { prompt: "abc", echo: true, max_tokens: 3, stream: true };
  assert.equal((await post("/v1/completions", body)).status, 429);
});
