/**
 * Clients that leave the real engine over HTTP, queued and in decode: rows and blocks are free within
 * two steps, and others get what they would have got. Prefill is in `local_engine_cancel_test.ts`.
 */
import assert from "node:assert/strict";
import { builtinModel } from "../../model/builtin.ts";
import type { Engine, EngineStats } from "../../model/engine.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { loadTextSide } from "../../model/text_side.ts";
import { createApp } from "../../routes/app.ts";
import { jsonPost, until, withServer } from "./helpers.ts";

/** Steps that may be in hand, with those chained to them, when the engine hears that a client left. */
const FEW_ROWS = 2 * 64;

const body = (tokens: number) => ({
  inputs: "Bonjour !",
  parameters: { max_new_tokens: tokens },
});
const AFTER = body(6);

/** Requests cancelled, by phase. */
function cancelled(stats: EngineStats): number[] {
  const { cancelledQueued, cancelledPrefill, cancelledDecode, cancelledWriting } = stats;
  return [cancelledQueued, cancelledPrefill, cancelledDecode, cancelledWriting];
}

async function withEngineServer(
  run: (engine: Engine, url: string) => Promise<void>,
): Promise<void> {
  const dir = await builtinModel();
  const engine = startLocalEngine({ model: dir, slots: 1, queueLimit: 8 });
  try {
    await engine.ready;
    const app = createApp({ engine, text: Promise.resolve(await loadTextSide(dir)) });
    await withServer(app, (url) => run(engine, url));
  } finally {
    await engine.close();
  }
}

const generate = async (url: string, request: object): Promise<string> =>
  (await (await fetch(`${url}/generate`, jsonPost(request))).json()).generated_text;

/**
 * Leaves as `leave` does, which ends when the engine has heard of it, and asserts that hardly a row
 * is computed from then on.
 */
async function leaves(
  engine: Engine,
  url: string,
  phases: number[],
  leave: () => Promise<void>,
): Promise<void> {
  const expected = await generate(url, AFTER);
  const start = engine.stats().rows;
  assert.equal(await generate(url, AFTER), expected);
  const rowsOfAfter = engine.stats().rows - start;
  const counts = cancelled(engine.stats());
  await leave();
  const { rows } = engine.stats();
  assert.equal(await generate(url, AFTER), expected);
  await until(() => engine.stats().running === 0 && engine.stats().waiting === 0);
  const { blocksUsed, rows: after } = engine.stats();
  assert.equal(blocksUsed, 0);
  const more = after - rows - rowsOfAfter;
  assert.ok(more <= FEW_ROWS, `${more} more rows were computed`);
  assert.deepEqual(cancelled(engine.stats()).map((count, i) => count - counts[i]!), phases);
}

for (const path of ["/generate", "/generate_stream"]) {
  Deno.test(`${path}: a client that leaves while queued, and in decode`, async (test) => {
    await withEngineServer(async (engine, url) => {
      await test.step("queued", () =>
        leaves(engine, url, [1, 0, 1, 0], async () => {
          const first = new AbortController();
          const running = fetch(url + path, jsonPost(body(1500), first.signal));
          running.catch(() => {});
          await until(() => engine.stats().running === 1);
          const second = new AbortController();
          const waiting = fetch(url + path, jsonPost(body(1500), second.signal));
          await until(() => engine.stats().waiting === 1);
          second.abort();
          await assert.rejects(waiting, { name: "AbortError" });
          await until(() => engine.stats().cancelledQueued === 1);
          const { cancelledDecode } = engine.stats();
          first.abort();
          await until(() => engine.stats().cancelledDecode > cancelledDecode);
        }));
      await test.step("decode", () =>
        leaves(engine, url, [0, 0, 1, 0], async () => {
          const leave = new AbortController();
          const { rows, cancelledDecode } = engine.stats();
          const answer = fetch(url + path, jsonPost(body(1500), leave.signal));
          answer.catch(() => {});
          await until(() => engine.stats().rows > rows + 60);
          leave.abort();
          await until(() => engine.stats().cancelledDecode > cancelledDecode);
          assert.ok(engine.stats().rows - rows < 1000, "the whole answer was computed");
        }));
    });
  });
}
