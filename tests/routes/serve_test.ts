/** A server's life, in a process of its own: loading, signals, draining, and its exit code. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { CALL } from "./dialogue_client.ts";
import { jsonPost, readEvents } from "./helpers.ts";
import { raw, statusOf } from "./raw.ts";
import { ServerProcess } from "./server_process.ts";

const FIXTURE = fileURLToPath(new URL("./serve_fixture.ts", import.meta.url));

/** The fixture as a running process. */
class Server extends ServerProcess {
  constructor(...flags: string[]) {
    super([FIXTURE, ...flags]);
  }

  async order(order: "ready" | "fail" | "lose"): Promise<void> {
    await this.tell(order);
  }
}

/** A server that is ready, and its URL. */
async function readyServer(...flags: string[]): Promise<[Server, string]> {
  const server = new Server("--port", "0", ...flags);
  const url = await server.url();
  await server.order("ready");
  await server.says(/Try it:\n.*\n/);
  return [server, url];
}

const LONG = jsonPost({ inputs: "secret", parameters: { max_new_tokens: 2000 } });
const SHORT = jsonPost({ inputs: "secret", parameters: { max_new_tokens: 40 } });

const unix = Deno.build.os !== "windows";

Deno.test("it listens while loading, says what it serves, and ends with 0 on SIGTERM", async () => {
  await using server = new Server("--port", "0", "--queue", "9");
  const url = await server.url();
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  await server.says(/Loading weights: 50 %\n/);
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 503);
  assert.equal((await health.json()).progress, 50);

  await server.order("ready");
  await server.says(/Try it:\n.*\n/);
  assert.match(server.stderr, new RegExp(`Clairon is ready on ${url}\n`));
  assert.match(server.stderr, /fake \(4-bit, groups of 128, act-order\)/);
  assert.match(server.stderr, /adapter +none \(software: /);
  const info = await (await fetch(`${url}/info`)).json();
  assert.equal(info.max_concurrent_requests, 9);
  await (await fetch(`${url}/generate`, SHORT)).text();

  server.signal("SIGTERM");
  assert.equal(await server.exit(), 0);
  assert.match(server.stderr, /SIGTERM: /);
  const lines = server.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ route }) => route), ["/health", "/info", "/generate"]);
  assert.equal(lines[2].tokens, 40);
  assert.ok(!Number.isNaN(Date.parse(lines[2].time)));
  assert.doesNotMatch(server.stdout + server.stderr, /secret/);
});

Deno.test({
  name: "the command it prints reaches a shell as the request it should be",
  ignore: !unix,
  async fn() {
    const [server] = await readyServer();
    await using _ = server;
    const [line] = await server.says(/^curl .*$/m);
    // A stand-in for curl prints its last argument, the body.
    const script = `curl() { for last; do :; done; printf '%s' "$last"; }\n${line}`;
    const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
    assert.equal(
      JSON.parse(new TextDecoder().decode(stdout)).inputs,
      "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n-",
    );
  },
});

Deno.test("after SIGTERM running answers end in peace while new requests get 503", async () => {
  const [server, url] = await readyServer();
  await using _ = server;
  const stream = await fetch(`${url}/generate_stream`, SHORT);
  server.signal("SIGTERM");
  await server.says(/SIGTERM: /);
  const refused = await fetch(`${url}/generate`, SHORT);
  assert.equal(refused.status, 503);
  assert.deepEqual(await refused.json(), {
    error: "The server is shutting down",
    error_type: "draining",
  });
  assert.equal((await (await fetch(`${url}/health`)).json()).status, "draining");
  const events = await readEvents(stream);
  assert.equal(events.length, 40);
  assert.equal(events.at(-1)!.generated_text, "Oui. ".repeat(8));
  assert.equal(await server.exit(), 0);
});

Deno.test("answers that outlast the drain time end with an error event", async () => {
  const [server, url] = await readyServer("--drain-seconds", "0");
  await using _ = server;
  const stream = await fetch(`${url}/generate_stream`, LONG);
  server.signal("SIGINT");
  const events = await readEvents(stream);
  assert.deepEqual(events.at(-1), {
    error: "Request failed during generation: the engine stopped",
    error_type: "generation",
  });
  assert.equal(await server.exit(), 0);
});

/** A stream of each API, and the event that tells it that the engine stopped. */
const STREAMS: { path: string; body: object; end: RegExp }[] = [
  {
    path: "/generate_stream",
    body: { inputs: "a", parameters: { max_new_tokens: 2000 } },
    end:
      /^data: \{"error":"Request failed during generation: the engine stopped","error_type":"generation"\}$/,
  },
  {
    path: "/v1/completions",
    body: { model: "x", prompt: "a", max_tokens: 2000, stream: true },
    end:
      /^data: \{"error":\{"message":"[^"]*the engine stopped","type":"server_error","param":null,"code":null\}\}\n\ndata: \[DONE\]$/,
  },
  {
    path: "/v1/chat/completions",
    body: {
      model: "x",
      messages: [{ role: "user", content: "a" }],
      max_tokens: 1900,
      stream: true,
    },
    end:
      /^data: \{"error":\{"message":"[^"]*the engine stopped","type":"server_error","param":null,"code":null\}\}\n\ndata: \[DONE\]$/,
  },
  {
    path: "/v1/dialogues",
    body: { ...CALL, max_tokens: 1900, stream: true },
    end: /^event: error\ndata: \{"error":"[^"]*the engine stopped","error_type":"generation"\}$/,
  },
  {
    path: "/api/extra/generate/stream",
    body: { prompt: "a", max_length: 500 },
    end:
      /^event: error\ndata: \{"detail":\{"msg":"[^"]*the engine stopped","type":"generation"\}\}$/,
  },
];

Deno.test("drained under load: each stream ends with its API's error event, and whole", async () => {
  const [server, url] = await readyServer("--drain-seconds", "1");
  await using _ = server;
  const load = Array.from({ length: 6 }, () => STREAMS).flat();
  const streams = await Promise.all(
    load.map(({ path, body }) => fetch(url + path, jsonPost(body))),
  );
  const short = await fetch(`${url}/generate_stream`, SHORT);
  server.signal("SIGTERM");
  await server.says(/SIGTERM: /);
  for (const path of ["/health", "/ping"]) {
    const ready = await fetch(url + path);
    assert.equal(ready.status, 503);
    assert.equal((await ready.json()).status, "draining");
  }
  for (const { path, body } of STREAMS) {
    const refused = await fetch(url + path, jsonPost(body));
    assert.equal(refused.status, 503, path);
    assert.ok(Number(refused.headers.get("retry-after")) >= 1, path);
    assert.match(await refused.text(), /shutting down/);
  }
  const texts = await Promise.all(streams.map((stream) => stream.text()));
  for (const [i, text] of texts.entries()) {
    const { path, end } = load[i]!;
    const last = text.trim();
    const tail = last.split("\n\n").slice(last.endsWith("[DONE]") ? -2 : -1).join("\n\n");
    assert.match(tail, end, path);
  }
  assert.equal((await readEvents(short)).at(-1)!.generated_text, "Oui. ".repeat(8));
  assert.equal(await server.exit(), 0);
});

Deno.test({
  name: "a second signal ends the process at once",
  ignore: !unix,
  async fn() {
    const [server, url] = await readyServer();
    await using _ = server;
    const stream = await fetch(`${url}/generate_stream`, LONG);
    server.signal("SIGTERM");
    await server.says(/SIGTERM: /);
    server.signal("SIGINT");
    assert.equal(await server.exit(), 1);
    await assert.rejects(stream.text());
  },
});

Deno.test("SIGTERM while loading ends with 0", async () => {
  await using server = new Server("--port", "0");
  await server.url();
  server.signal("SIGTERM");
  assert.equal(await server.exit(), 0);
});

Deno.test("when the GPU is lost, streams end with an error event and the process with 70", async () => {
  const [server, url] = await readyServer();
  await using _ = server;
  const stream = await fetch(`${url}/generate_stream`, LONG);
  await server.order("lose");
  const events = await readEvents(stream);
  assert.equal(events.at(-1)!.error_type, "generation");
  assert.doesNotMatch(JSON.stringify(events), /plug/);
  assert.equal(await server.exit(), 70);
  assert.match(server.stderr, /\nThe GPU can no longer be used: somebody pulled the plug\n$/);
});

Deno.test("a checkpoint that cannot be loaded gives its sentence and 1, and no stack", async () => {
  await using server = new Server("--port", "0");
  await server.url();
  await server.order("fail");
  assert.equal(await server.exit(), 1);
  assert.match(server.stderr, /\nconfig\.json: this should be a file, found nothing\.\n$/);
});

Deno.test("a port that is taken gives one sentence with the cure, before anything is loaded", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  await using server = new Server("--port", String(port));
  assert.equal(await server.exit(), 1);
  assert.equal(
    server.stderr,
    `Port ${port} on 127.0.0.1 is taken by another program: ` +
      `choose another one, for example with --port ${port + 1}.\n`,
  );
});

Deno.test("a host that is not this machine gives one sentence", async () => {
  await using server = new Server("--port", "0", "--host", "192.0.2.1");
  assert.equal(await server.exit(), 1);
  assert.match(server.stderr, /^Cannot listen on 192\.0\.2\.1, port 0: .*--host\.\n$/);
});

Deno.test("keys are asked for, and stand in no output", async () => {
  const [server, url] = await readyServer("--api-key", "s3cret-1", "--api-key=s3cret-2");
  await using _ = server;
  assert.equal((await fetch(`${url}/health`)).status, 200);
  for (const [authorization, status] of [["", 401], ["Bearer s3cret-2", 200]] as const) {
    const response = await fetch(`${url}/info`, { headers: { authorization } });
    assert.equal(response.status, status);
    await response.body?.cancel();
  }
  assert.match(server.stderr, /Bearer \$API_KEY/);
  server.signal("SIGTERM");
  assert.equal(await server.exit(), 0);
  assert.doesNotMatch(server.stdout + server.stderr, /s3cret/);
});

Deno.test("on loopback without a key, a foreign Host is refused; another one can be allowed", async () => {
  const [server, url] = await readyServer("--allowed-host", "claire.example");
  await using _ = server;
  const port = Number(new URL(url).port);
  const cases = { "evil.example": 403, "claire.example:80": 200, [`localhost:${port}`]: 200 };
  for (const [host, status] of Object.entries(cases)) {
    const answer = await raw(port, [
      `GET /info HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    ]);
    assert.equal(statusOf(answer), status, host);
  }
});
