/** A GPU that is lost: streams end with an error, and so does the process. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { answer, refused, request, start, until } from "./engine_rig.ts";
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

Deno.test("GPU lost: `serve` ends its streams with an error event and itself with 70", () =>
  withSynthetic({ tokenizer: true }, async (model) => {
    const fixture = fileURLToPath(new URL("./losing_server_fixture.ts", import.meta.url));
    const server = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fixture, "serve", "--model", model, "--port", "0"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    const orders = server.stdin.getWriter();
    const log = new Response(server.stdout).text();
    let said = "";
    const listened = Array.fromAsync(
      server.stderr.pipeThrough(new TextDecoderStream()),
      (text) => said += text,
    );
    try {
      await until(() => /is ready on/.test(said));
      const url = /is ready on (\S+)/.exec(said)![1];
      const answer = await fetch(`${url}/generate_stream`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ inputs: "secret", parameters: { max_new_tokens: 1500 } }),
      });
      let events = "";
      let asked = false;
      for await (const text of answer.body!.pipeThrough(new TextDecoderStream())) {
        events += text;
        if (!asked) await orders.write(new TextEncoder().encode("lose\n"));
        asked = true;
      }
      assert.match(events.trim().split("\n").at(-1)!, /^data:.*"error_type":"generation"/);
      assert.equal((await server.status).code, 70);
      await listened;
      assert.match(said, /\nThe GPU can no longer be used: [^\n]+\n$/);
      assert.doesNotMatch(said + await log, /secret|^ +at /m);
    } finally {
      await orders.close().catch(() => {});
      try {
        server.kill("SIGKILL");
      } catch {
        // It has ended, as it should.
      }
      await Promise.all([server.status, listened, log]);
    }
  }));
