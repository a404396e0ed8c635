/** `main.ts serve` as a process, with the real engine and the built-in model, told to stop under load. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { CALL } from "./dialogue_client.ts";
import { jsonPost } from "./helpers.ts";
import { ServerProcess } from "./server_process.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));

const tgi = (tokens: number) => ({
  path: "/generate_stream",
  body: { inputs: "- Bonjour !\n-", parameters: { max_new_tokens: tokens } },
});
const openAi = (tokens: number) => ({
  path: "/v1/completions",
  body: { prompt: "- Oui ?\n-", max_tokens: tokens, ignore_eos: true, stream: true },
});
const dialogue = (tokens: number) => ({
  path: "/v1/dialogues",
  body: { ...CALL, max_tokens: tokens, max_turns: 100, stream: true },
});

/** A server that is ready, with two places, and its URL. */
async function ready(...flags: string[]): Promise<[ServerProcess, string]> {
  const server = new ServerProcess([MAIN, "serve", "--port=0", "--parallel=2", ...flags], {
    MODEL: "",
  });
  const url = await server.url();
  await server.says(/Try it:/);
  return [server, url];
}

/** Waits until so many requests are computed and so many wait. */
async function load(url: string, running: number, waiting: number): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const value = (name: string) => {
      return Number(new RegExp(`^vllm:num_requests_${name}{.*} (\\d+)$`, "m").exec(metrics)![1]);
    };
    if (value("running") === running && value("waiting") === waiting) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Asks for streams, one more than there are places, and says stop when all are under way. */
async function stopUnderLoad(
  server: ServerProcess,
  url: string,
  asked: { path: string; body: object }[],
): Promise<Promise<{ status: number; text: string }>[]> {
  const answers = asked.map(async ({ path, body }) => {
    const response = await fetch(url + path, jsonPost(body));
    return { status: response.status, text: await response.text() };
  });
  await load(url, 2, 1);
  server.signal("SIGTERM");
  await server.says(/SIGTERM: /);
  const health = await fetch(`${url}/health`);
  assert.deepEqual([health.status, (await health.json()).status], [503, "draining"]);
  for (const { path, body } of asked) {
    const refused = await fetch(url + path, jsonPost(body));
    assert.equal(refused.status, 503, path);
    assert.match(await refused.text(), /shutting down/);
  }
  return answers;
}

Deno.test("SIGTERM under load: streams, and one that waits, end by themselves, then the process", async () => {
  const [server, url] = await ready();
  await using _ = server;
  const asked = [tgi(40), openAi(40), dialogue(5)];
  const answers = await Promise.all(await stopUnderLoad(server, url, asked));
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
  const [first, second, third] = answers.map(({ text }) => text);
  const events = first!.trim().split("\n\n");
  const last = JSON.parse(events.at(-1)!.slice("data: ".length));
  assert.equal(typeof last.generated_text, "string");
  assert.doesNotMatch(first!, /"error"/);
  assert.match(second!, /"finish_reason":"length".*\n\ndata: \[DONE\]\n\n$/);
  assert.match(third!, /\nevent: done\ndata: \{"finish_reason":"/);
  assert.equal(await server.exit(), 0);
  assert.doesNotMatch(server.stderr, /panic|at file:|Uncaught/);
});

Deno.test("SIGTERM under load: streams that outlast the limit end with an error event", async () => {
  const [server, url] = await ready("--drain-seconds", "1");
  await using _ = server;
  const asked = [tgi(900), openAi(900), dialogue(900)];
  const answers = await Promise.all(await stopUnderLoad(server, url, asked));
  for (const [i, { text }] of answers.entries()) {
    assert.match(text, /"error":.*the engine stopped/, asked[i]!.path);
    assert.doesNotMatch(text, /"finish_reason":"|generated_text":"/);
  }
  // What had not begun gets a status of its own, not an event.
  const statuses = answers.map(({ status }) => status);
  assert.deepEqual(statuses.toSorted(), [200, 200, 424]);
  const { status, text } = answers[1]!;
  if (status === 200) assert.match(text, /\n\ndata: \[DONE\]\n\n$/);
  assert.equal(await server.exit(), 0);
  assert.doesNotMatch(server.stderr, /panic|at file:|Uncaught/);
});
