/** Clients that leave, on real loopback connections: their work ends, and nobody else's. */
import { connect } from "node:http2";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { FOREVER, jsonPost, testApp, until, withServer } from "./helpers.ts";

const BODY = { inputs: "a", parameters: { max_new_tokens: 1000 } };

Deno.test("a client that leaves in the middle of its stream ends its generation", async () => {
  const { app, engine, log } = testApp({ delay: 2 });
  await withServer(app, async (url) => {
    const leave = new AbortController();
    const response = await fetch(`${url}/generate_stream`, jsonPost(BODY, leave.signal));
    const reader = response.body!.getReader();
    await reader.read();
    leave.abort();
    await reader.read().catch(() => {});
    await until(() => engine.cancellations === 1 && log.length === 1);
    assert.ok(engine.requests[0]!.tokens < 1000);
    assert.equal(log[0]!.error, "cancelled");
    assert.equal(log[0]!.status, 200);
  });
});

for (const path of ["/generate", "/generate_stream"]) {
  Deno.test(`a client of ${path} that leaves before the first token ends its generation`, async () => {
    const { app, engine, log } = testApp({ delay: FOREVER });
    await withServer(app, async (url) => {
      const leave = new AbortController();
      const answer = fetch(url + path, jsonPost(BODY, leave.signal));
      await until(() => engine.running === 1);
      leave.abort();
      await assert.rejects(answer, { name: "AbortError" });
      await until(() => engine.cancellations === 1 && log.length === 1);
      assert.equal(log[0]!.error, "cancelled");
      assert.equal(log[0]!.status, 499);
    });
  });
}

Deno.test("of best_of, a sequence that waits for its place is never begun for a client that left", async () => {
  const { app, engine, log } = testApp({ delay: FOREVER });
  await withServer(app, async (url) => {
    const leave = new AbortController();
    const body = { inputs: "a", parameters: { best_of: 2, do_sample: true } };
    const answer = fetch(`${url}/generate`, jsonPost(body, leave.signal));
    await until(() => engine.running === 1);
    leave.abort();
    await assert.rejects(answer, { name: "AbortError" });
    await until(() => log.length === 1);
    assert.equal(engine.requests.length, 1);
  });
});

Deno.test("an answer that was read to its end cancels nothing", async () => {
  const { app, engine, log } = testApp();
  await withServer(app, async (url) => {
    const body = { inputs: "a", parameters: { max_new_tokens: 5 } };
    for (const path of ["/generate", "/generate_stream", "/"]) {
      await (await fetch(url + path, jsonPost(body))).text();
    }
    await until(() => log.length === 3);
    assert.equal(engine.cancellations, 0);
    assert.deepEqual(engine.requests.map(({ outcome }) => outcome), Array(3).fill("finished"));
    assert.ok(log.every(({ error }) => error === undefined));
  });
});

Deno.test("a client that never reads holds back its own generation and nobody else's", async () => {
  const { app, engine } = testApp({ info: { maxPositions: 1e6 } });
  await withServer(app, async (url) => {
    const leave = new AbortController();
    const body = { inputs: "a", parameters: { max_new_tokens: 900_000, top_n_tokens: 5 } };
    const response = await fetch(`${url}/generate_stream`, jsonPost(body, leave.signal));
    const silent = engine.requests[0]!;
    // Buffers between here and there fill up, then the generator waits.
    let before = -1;
    while (silent.tokens !== before) {
      before = silent.tokens;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(silent.tokens < 900_000, `${silent.tokens} tokens`);
    assert.equal(silent.outcome, "running");

    const other = await fetch(`${url}/generate`, jsonPost(BODY));
    assert.equal(other.headers.get("x-generated-tokens"), "1000");
    await other.body!.cancel();

    leave.abort();
    await response.body!.cancel().catch(() => {});
    await until(() => silent.outcome === "cancelled");
  });
});

Deno.test("over HTTP/2 the client of a long request that is not streamed ends its generation, too", async () => {
  const { app, engine, log } = testApp({ delay: FOREVER });
  await withServer(app, async (url) => {
    const client = connect(url);
    const headers = { ":method": "POST", ":path": "/generate", "content-type": "application/json" };
    const request = client.request(headers);
    request.on("error", () => {});
    request.end(JSON.stringify({ ...BODY, inputs: "a".repeat(900) }));
    await until(() => engine.running === 1);
    request.close(8); // CANCEL
    await until(() => engine.cancellations === 1 && log.length === 1);
    assert.equal(log[0]!.status, 499);
    client.close();
  });
});

Deno.test("`deno serve` tells of clients that leave, too", async () => {
  const fixture = fileURLToPath(new URL("./deno_serve_fixture.ts", import.meta.url));
  const command = new Deno.Command(Deno.execPath(), {
    args: ["serve", "-A", "--host", "127.0.0.1", "--port", "0", fixture],
    stdout: "piped",
    stderr: "null",
  });
  await using server = command.spawn();
  const lines = server.stdout
    .pipeThrough(new TextDecoderStream())
    .values();
  const { port } = JSON.parse((await lines.next()).value!);
  const url = `http://127.0.0.1:${port}`;

  await (await fetch(
    `${url}/generate`,
    jsonPost({ inputs: "a", parameters: { max_new_tokens: 2 } }),
  ))
    .text();
  const first = JSON.parse((await lines.next()).value!);
  assert.equal(first.error, undefined);

  const leave = new AbortController();
  const response = await fetch(`${url}/generate_stream`, jsonPost(BODY, leave.signal));
  leave.abort();
  await response.body!.cancel().catch(() => {});
  const second = JSON.parse((await lines.next()).value!);
  assert.equal(second.error, "cancelled");
  assert.ok(second.tokens < 1000);

  await lines.return!();
  server.kill();
  await server.status;
});
