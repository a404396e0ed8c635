/** A GPU that is lost: streams end with an error, and so does the process. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { answer, refused, request, start, until } from "./engine_rig.ts";
import { ServerProcess } from "../routes/server_process.ts";
import { losing } from "./losing.ts";
import { withSynthetic } from "./synthetic.ts";

const MODEL = committedGolden("q4-g64-act");

Deno.test("GPU lost: running and waiting requests fail, later ones are refused", async () => {
  using gpu = losing();
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.ready;
    const { ids, greedy } = loadGolden(MODEL).prompts[0]!;
    const seen: number[] = [];
    const running = (async () => {
      const long = request({ prompt: ids, maxNewTokens: 1900 });
      for await (const event of engine.generate(long)) {
        if (event.type === "token") seen.push(event.id);
        if (seen.length === 5) gpu.lose();
      }
    })();
    const waiting = refused(answer(engine), "lost");
    await refused(running, "lost");
    await waiting;
    // What came before the loss was computed, not made up.
    assert.deepEqual(seen.slice(0, 5), greedy.slice(0, 5));
    assert(seen.length < 1000);
    assert.match(await engine.lost, /lost|destroyed/);
    const { state, running: left, blocksUsed } = engine.stats();
    assert.deepEqual([state, left, blocksUsed], ["lost", 0, 0]);
    await refused(answer(engine), "lost");
    await engine.drain();
  } finally {
    await engine.close();
  }
});

Deno.test("GPU lost while a long prompt is computed", async () => {
  using gpu = losing();
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.ready;
    const long = answer(engine, { prompt: new Array(2000).fill(3), promptLogprobs: true });
    const failed = refused(long, "lost");
    await until(() => engine.stats().rows > 0);
    gpu.lose();
    await failed;
    await engine.lost;
  } finally {
    await engine.close();
  }
});

Deno.test("GPU lost while nothing runs: the engine tells without being asked", async () => {
  using gpu = losing();
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.ready;
    gpu.lose();
    assert.match(await engine.lost, /lost|destroyed/);
    assert.equal(engine.stats().state, "lost");
    await refused(answer(engine), "lost");
  } finally {
    await engine.close();
  }
});

Deno.test("GPU lost while the model is loaded: that is the reason, and no fault of the model", async () => {
  using gpu = losing();
  const engine = start({ model: MODEL, slots: 1 });
  try {
    gpu.lose();
    const error = await engine.ready.then(() => assert.fail("it was loaded"), (error) => error);
    assert.match(error.message, /^device was lost$/);
    assert(!(error instanceof CheckpointError));
    assert.equal(engine.stats().state, "lost");
    await new Promise((resolve) => setTimeout(resolve, 50)); // for what comes late
    assert.deepEqual(gpu.uncaught, []);
  } finally {
    await engine.close();
  }
});

Deno.test("an error of the GPU ends the engine, in the driver's words for the log alone", async () => {
  using gpu = losing();
  const engine = start({ model: MODEL, slots: 1 });
  try {
    await engine.ready;
    const failed = refused(answer(engine, { maxNewTokens: 1900 }), "lost");
    gpu.err();
    assert.match(await engine.lost, /size 1099511627776/);
    assert.doesNotMatch(await failed, /1099511627776/);
    assert.equal(engine.stats().state, "lost");
  } finally {
    await engine.close();
  }
});

Deno.test("GPU lost: `serve` ends its streams, loads the model again, and the second time ends with 70", () =>
  withSynthetic({ tokenizer: true }, async (model) => {
    const fixture = fileURLToPath(new URL("./losing_server_fixture.ts", import.meta.url));
    await using server = new ServerProcess([fixture, "serve", "--model", model, "--port", "0"]);
    const [, url] = await server.says(/is ready on (\S+)/);
    const ask = (tokens: number) =>
      fetch(`${url}/generate_stream`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ inputs: "secret", parameters: { max_new_tokens: tokens } }),
      });
    /** Loses the GPU after the first event of a stream; that stream's last event. */
    const lose = async () => {
      const answer = await ask(1500);
      let events = "";
      let asked = false;
      for await (const text of answer.body!.pipeThrough(new TextDecoderStream())) {
        events += text;
        if (!asked) await server.tell("lose");
        asked = true;
      }
      return events.trim().split("\n").at(-1)!;
    };
    assert.match(await lose(), /^data:.*"error_type":"generation"/);
    const refused = await ask(1);
    const { error_type } = await refused.json();
    assert.deepEqual([refused.status, error_type], [503, "loading"]);
    assert.match(refused.headers.get("retry-after")!, /^[1-9]\d*$/);

    await server.says(/The model is loaded again\.\n/);
    assert.equal((await fetch(`${url}/health`)).status, 200);
    const events = (await (await ask(5)).text()).trim().split("\n\n");
    assert.equal(events.length, 5);
    assert.match(events[4]!, /"index":5,.*"generated_text":"/);

    assert.match(await lose(), /^data:.*"error_type":"generation"/);
    assert.equal(await server.exit(), 70);
    assert.match(server.stderr, /\nThe GPU can no longer be used: [^\n]+\n$/);
    assert.doesNotMatch(server.stdout + server.stderr, /secret|^ +at /m);
  }));
