/** `bench --load` as a process, against our own server and against a minimal one of another make. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import assert from "node:assert/strict";
import { ids, testApp, until, withServer } from "../../helpers.ts";
import { type Behaviour, FIXED, OpenAiServer } from "./openai_server.ts";

const MAIN = fileURLToPath(new URL("../../../../main.ts", import.meta.url));

/** Requests that find out what a server without `/tokenize` is like, the length of prompts last. */
const PROBES = 3;

function start(...args: string[]) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "bench", ...args],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outcome(process: Deno.ChildProcess) {
  const { code, stdout, stderr } = await process.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  const last = out!.trimEnd().split("\n").at(-1)!;
  // deno-lint-ignore no-explicit-any
  const figures: any = last.startsWith("{") ? JSON.parse(last) : undefined;
  return { code, out: out!, err: err!, last, figures };
}

async function bench(...args: string[]) {
  return await outcome(start(...args));
}

async function minimal(behaviour: Behaviour, ...args: string[]) {
  await using server = new OpenAiServer(behaviour);
  const ended = await bench("--load", server.url, ...args);
  return { server, ...ended };
}

Deno.test("load: every stream of our own server has its full length, all sampling on", async () => {
  // Every third token would end an answer, were it heeded.
  const { app, engine } = testApp({ script: [...ids("ab"), 11], info: { maxPositions: 5000 } });
  await withServer(app, async (url) => {
    const folder = await Deno.makeTempDir();
    try {
      const file = join(folder, "load.json");
      const args = ["--streams", "4", "--requests", "12", "--prompt-tokens", "100"];
      const { code, err, last, figures, out } = await bench("--load", url, ...args, "--json", file);
      assert.equal(code, 0, err);
      assert.equal(await Deno.readTextFile(file), `${last}\n`);
      const { load } = figures;
      assert.deepEqual([figures.model, figures.full_sampling], ["fake", true]);
      assert.deepEqual([load.requests, load.errors, load.answer_tokens], [12, {}, 128]);
      assert(load.counted_by_server);
      // Three bytes are half a word to this tokenizer.
      assert(Math.abs(load.prompt_tokens - 100) <= 3, load.prompt_tokens);
      for (const name of ["ttft_ms", "per_token_ms", "gap_ms"]) {
        const { p50, p90, p99 } = load[name];
        assert(0 < p50 && p50 <= p90 && p90 <= p99, name);
      }
      assert(load.slowest_to_mean > 0 && load.slowest_to_mean <= 1);
      assert.match(out, /^ +tokens\/s in all +\d/m);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
  const long = engine.requests.filter(({ request }) => request.maxNewTokens === 128);
  // Four more warm up.
  assert.equal(long.length, 16);
  for (const { request: { sampling, prompt }, tokens } of long) {
    const { temperature, topP, topK, repetitionPenalty } = sampling;
    assert.deepEqual([temperature, topP, topK, repetitionPenalty], [0.7, 0.95, 40, 1.1]);
    assert.equal(tokens, 128);
    assert(prompt.length > 0);
  }
  const beginnings = long.map(({ request }) => request.prompt.slice(0, 64).join());
  assert.equal(new Set(beginnings).size, 16);
});

Deno.test("load: a server that takes OpenAI's fields only, with several tokens an event", async () => {
  for (const api of ["completions", "chat"]) {
    const args = ["--api", api, "--streams", "3", "--requests", "9", "--tokens", "40"];
    const { server, code, err, figures, out } = await minimal(
      {},
      ...args,
      "--key",
      "k",
      "--warm-up=0",
    );
    assert.equal(code, 0, err);
    const { load } = figures;
    assert.deepEqual([figures.model, figures.full_sampling], ["minimal", false]);
    assert.deepEqual([load.requests, load.answer_tokens], [9, 40]);
    assert(Math.abs(load.prompt_tokens - 64) <= 2, load.prompt_tokens);
    assert.match(out, /the server takes no more/);
    assert.equal(server.mostUnderWay, 3);
    const route = api === "chat" ? "/v1/chat/completions" : "/v1/completions";
    assert(server.received.every(({ path, key }) => path === route && key === "Bearer k"));
    const { body } = server.received.at(-1)!;
    assert.deepEqual([body.temperature, body.top_p, body.model], [0.7, 0.95, "minimal"]);
    assert.deepEqual(body.stream_options, { include_usage: true });
  }
});

Deno.test("load: what goes wrong is counted by its kind, and the rest is measured", async () => {
  const fates = ["answer", "busy", "error event", "broken"] as const;
  const fate = (nth: number) => nth < PROBES ? "answer" : fates[(nth - PROBES) % 4]!;
  const args = ["--streams", "2", "--requests", "8", "--tokens", "16", "--warm-up", "0"];
  const { code, figures, err, out } = await minimal({ lenient: true, fate }, ...args);
  assert.equal(code, 0, err);
  assert.equal(figures.load.requests, 2);
  assert.deepEqual(figures.load.errors, { "HTTP 429": 2, "error event": 2, "broke off": 2 });
  assert.match(err, /^First error: Too many requests$/m);
  assert.match(out, /^ +errors +HTTP 429: 2, error event: 2, broke off: 2$/m);

  const refused = await minimal(
    { fate: (nth) => nth < PROBES ? "answer" : "busy" },
    "--requests",
    "3",
  );
  assert.equal(refused.code, 1);
  assert.equal(refused.figures.load.tokens_per_s, null);
});

Deno.test("load: arrivals at random do not wait for answers", async () => {
  const all = Promise.withResolvers<void>();
  // Nobody is answered until all ten are there.
  const gate = (nth: number) => {
    if (nth === PROBES + 9) all.resolve();
    return nth < PROBES ? Promise.resolve() : all.promise;
  };
  const args = ["--rate", "200", "--requests", "10", "--tokens", "8", "--warm-up", "0"];
  const { server, code, err, figures } = await minimal({ lenient: true, gate }, ...args);
  assert.equal(code, 0, err);
  assert.equal(server.mostUnderWay, 10);
  assert.deepEqual([figures.rate, figures.load.requests], [200, 10]);
});

Deno.test("load: a long prompt arrives while streams run", async () => {
  const args = ["--streams", "2", "--intrude", "500", "--tokens", "400"];
  const { server, code, err, figures, out } = await minimal({ lenient: true }, ...args);
  assert.equal(code, 0, err);
  const { intrusion } = figures;
  const long = server.received.filter(({ prompt }) => prompt.length > 1500);
  // Five arrive while streams run, one was counted.
  assert.equal(long.length, 6);
  assert(Math.abs(intrusion.intruder_tokens - 500) <= 5, intrusion.intruder_tokens);
  assert.equal(intrusion.streams, 2);
  for (const name of ["intruder_ttft_ms", "gap_ms", "quiet_gap_ms"]) {
    assert(intrusion[name].p99 > 0);
  }
  assert.equal(server.mostUnderWay, 3);
  assert.match(out, /gaps of the streams meanwhile/);
});

Deno.test("load: a second turn goes on from the first and its answer", async () => {
  // A prompt of the default length, too, is counted.
  const args = ["--second-turn", "300", "--tokens", "8", "--warm-up", "0"];
  const { server, code, err, figures } = await minimal({ lenient: true }, ...args);
  assert.equal(code, 0, err);
  const turns = server.received.slice(PROBES + 1);
  assert.equal(turns.length, 14);
  assert.equal(figures.second_turn.dialogues, 7);
  for (let i = 0; i < turns.length; i += 2) {
    const [first, second] = [turns[i]!.prompt, turns[i + 1]!.prompt];
    assert(second.startsWith(`${first}${" mot".repeat(8)}`));
    assert(second.length > first.length + 8 * 4);
    const beginning = first.slice(0, 200);
    assert.equal(server.received.filter(({ prompt }) => prompt.startsWith(beginning)).length, 2);
  }
  const words = (text: string) => text.trim().split(/\s+/).length;
  assert.equal(figures.second_turn.first_tokens, words(turns.at(-2)!.prompt) + FIXED);
  assert.equal(figures.second_turn.second_tokens, words(turns.at(-1)!.prompt) + FIXED);
  // The server says the request's number.
  assert.equal(figures.second_turn.cached_tokens, PROBES + 14);
  assert(Math.abs(figures.second_turn.first_tokens - 300) <= 3);
  assert(figures.second_turn.second_to_first > 0);
});

Deno.test("load: prompts have the tokens asked for, by our own server's count", async () => {
  for (const api of ["completions", "chat"]) {
    const { app, engine } = testApp({ info: { maxPositions: 5000 } });
    await withServer(app, async (url) => {
      const args = ["--api", api, "--second-turn", "1500", "--tokens", "8", "--warm-up", "0"];
      const { code, err, figures } = await bench("--load", url, ...args);
      assert.equal(code, 0, err);
      const { first_tokens: first, second_tokens: second, second_to_first: ratio } =
        figures.second_turn;
      assert(Math.abs(first - 1500) <= 15, first);
      // The answer has 8 tokens or, in a chat, fewer; the reply has a dozen and is framed.
      assert(second > first && second <= first + 60, second);
      assert(ratio > 0);
    });
    // A token a byte: prompts that were only counted never came to the engine.
    const long = engine.requests.filter(({ request }) => request.prompt.length > 1000);
    assert.equal(long.length, 14);
  }
});

Deno.test("load: what chats add is counted where the server's count leaves it out", async () => {
  const args = ["--api", "chat", "--intrude", "2000", "--streams", "1", "--tokens", "80"];
  const { server, code, err, figures } = await minimal({ lenient: true, counts: true }, ...args);
  assert.equal(code, 0, err);
  assert(
    Math.abs(figures.intrusion.intruder_tokens - 2000) <= 20,
    figures.intrusion.intruder_tokens,
  );
  // None was computed before it was timed.
  assert.equal(server.received.filter(({ prompt }) => prompt.length > 5000).length, 5);
});

Deno.test("load: a server without usage has its events counted, and that is said", async () => {
  const args = ["--requests", "2", "--tokens", "40", "--warm-up", "0"];
  const { figures, out } = await minimal({ lenient: true, usage: false }, ...args);
  assert.equal(figures.load.counted_by_server, false);
  assert.deepEqual([figures.load.answer_tokens, figures.load.prompt_tokens], [10, null]);
  assert.match(out, /events were counted/);
});

Deno.test("load: Ctrl-C prints what there is", async () => {
  const fate = (nth: number) => nth < PROBES + 3 ? "answer" : "hang";
  await using server = new OpenAiServer({ lenient: true, fate });
  const args = ["--streams", "2", "--requests", "100", "--tokens", "8", "--warm-up", "0"];
  const process = start("--load", server.url, ...args);
  await until(() => server.received.length === PROBES + 5 && server.underWay === 2);
  process.kill("SIGINT");
  const { code, figures, err } = await outcome(process);
  assert.equal(code, 130, err);
  assert.deepEqual([figures.load.requests, figures.load.cut], [3, 2]);
  assert.deepEqual(figures.load.errors, {});
});

Deno.test("load: wrong arguments get a sentence and 2, no server 1", async () => {
  const cases: [string[], RegExp][] = [
    [["--load", "here"], /^--load must be a server's address, .*, found "here"\.\n$/],
    [["--load", "http://x", "--rate", "2", "--streams", "3"], /^--rate and --streams do not go/],
    [["--load", "http://x", "--intrude", "9", "--requests", "3"], /^--requests and --intrude do /],
    [["--load", "http://x", "--rate", "0"], /^--rate must be a number above 0, found "0"\.\n$/],
    [["--load", "http://x", "--api", "tgi"], /^--api must be completions or chat, found "tgi"\./],
    [["--load", "http://x", "--short"], /^There is no flag --short\./],
  ];
  for (const [args, sentence] of cases) {
    const { code, out, err } = await bench(...args);
    assert.deepEqual([code, out], [2, ""], err);
    assert.match(err, sentence);
  }
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response("no such page", { status: 404 });
  });
  const { port } = server.addr;
  const strange = await bench("--load", `http://127.0.0.1:${port}`);
  assert.equal(strange.code, 1);
  const sentence = `http://127.0.0.1:${port} gave no answer (HTTP 404): no such page\n`;
  assert.equal(strange.err, sentence);
  await server.shutdown();
  const gone = await bench("--load", `http://127.0.0.1:${port}`);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /gave no answer \(connection\): /);
});
