/**
 * Clairon behind the real nginx and HAProxy: what passes, what stays together, what is not dropped.
 *
 * Knows the files of `deploy/` only through `proxy.ts`. The servers are processes with our app and a
 * fake engine that waits for orders, so "before" and "after" are facts, not guesses about time.
 */
import assert from "node:assert/strict";
import { jsonPost, until } from "../routes/helpers.ts";
import { ServerProcess } from "../routes/server_process.ts";
import { proxyTest } from "./proxy.ts";

const FIXTURE = new URL("proxied_fixture.ts", import.meta.url).pathname;

/** Milliseconds of silence before a comment: often here, never there. */
const OFTEN = 100;
const NEVER = 1e9;
/** Ends a test that would hang; no test takes nearly as long. */
const PATIENCE = 60_000;

class Behind implements AsyncDisposable {
  readonly servers: ServerProcess[];
  addresses: string[] = [];

  constructor(names: string[], keepAlive: number) {
    this.servers = names.map((name) => new ServerProcess([FIXTURE, name, `${keepAlive}`]));
  }

  static async start(names: string[], keepAlive = NEVER): Promise<Behind> {
    const behind = new Behind(names, keepAlive);
    const urls = await Promise.all(behind.servers.map((server) => server.url()));
    behind.addresses = urls.map((url) => new URL(url).host);
    return behind;
  }

  async tell(order: string): Promise<void> {
    await Promise.all(this.servers.map((server) => server.tell(order)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server[Symbol.asyncDispose]();
  }
}

interface Asked {
  tokens?: number;
  /** Default: a short one. */
  prompt?: string;
  stream?: boolean;
  session?: string;
  signal?: AbortSignal;
}

function ask(
  url: string,
  { tokens = 5, prompt = "- Oui ?\n-", stream = true, session, signal }: Asked = {},
) {
  const patience = AbortSignal.timeout(PATIENCE);
  const body = { model: "", prompt, max_tokens: tokens, stream };
  const { headers, ...post } = jsonPost(
    body,
    signal ? AbortSignal.any([signal, patience]) : patience,
  );
  return fetch(`${url}/v1/completions`, {
    ...post,
    headers: { ...headers, connection: "close", ...(session && { "x-session-id": session }) },
  });
}

/** The events and comments of a stream as they come, one at a time. */
async function* pieces(response: Response): AsyncGenerator<string> {
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop()!;
    yield* parts;
  }
  assert.equal(rest, "");
}

function textOf(events: string[]): string {
  assert.equal(events.at(-1), "data: [DONE]");
  return events.slice(0, -1).filter((event) => event !== ":")
    .map((event) => JSON.parse(event.slice("data: ".length)).choices[0].text).join("");
}

/** Which server a session gets to. */
async function serverOf(url: string, session: string): Promise<string> {
  const response = await ask(url, { stream: false, tokens: 1, session });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer.model;
}

proxyTest("each token arrives before the next one is computed", async (start) => {
  await using behind = await Behind.start(["a"]);
  await using proxy = await start({ servers: behind.addresses });
  const answer = ask(proxy.url, { tokens: 5 });
  await behind.tell("token");
  const response = await answer;
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const events = pieces(response);
  let text = "";
  for (let i = 0; i < 5; i++) {
    // The engine holds token i + 1 back until this event has been read.
    const { value } = await events.next();
    text += JSON.parse(value!.slice("data: ".length)).choices[0].text;
    assert.equal(text, "Oui. ".slice(0, i + 1));
    await behind.tell("token");
  }
  const rest = await Array.fromAsync(events);
  assert.equal(rest.at(-1), "data: [DONE]");
});

proxyTest("comments keep a silent answer alive past the time-out", async (start) => {
  await using behind = await Behind.start(["a"], OFTEN);
  await using proxy = await start({ servers: behind.addresses, silence: 1 });
  const response = await ask(proxy.url, { tokens: 5 });
  const heard: string[] = [];
  for await (const piece of pieces(response)) {
    heard.push(piece);
    // Three seconds of nothing but comments, three times the time-out.
    if (heard.length === 3000 / OFTEN) await behind.tell("flow");
  }
  assert.ok(heard.slice(0, 3000 / OFTEN).every((piece) => piece === ":"));
  assert.equal(textOf(heard), "Oui. ");
});

proxyTest("without comments the same answer is given up", async (start) => {
  await using behind = await Behind.start(["a"], NEVER);
  await using proxy = await start({ servers: behind.addresses, silence: 1 });
  const response = await ask(proxy.url);
  assert.equal(response.status, 504);
  await response.body?.cancel();
});

proxyTest("a session stays with its server, and moves only when that goes", async (start) => {
  const names = ["a", "b", "c"];
  await using behind = await Behind.start(names);
  await behind.tell("flow");
  await using proxy = await start({ servers: behind.addresses });
  const sessions = Array.from({ length: 30 }, (_, i) => `session-${i}`);
  const place = async () =>
    new Map(
      await Promise.all(
        sessions.map(async (session) => [session, await serverOf(proxy.url, session)] as const),
      ),
    );
  const first = await place();
  assert.deepEqual([...new Set(first.values())].sort(), names);
  assert.deepEqual(await place(), first);
  behind.servers[1]!.signal("SIGKILL");
  await behind.servers[1]!.exit();
  const second = await place();
  for (const [session, name] of first) {
    if (name === "b") assert.notEqual(second.get(session), "b");
    else assert.equal(second.get(session), name, session);
  }
});

proxyTest("who names no session stays with a server too", async (start) => {
  await using behind = await Behind.start(["a", "b", "c"]);
  await behind.tell("flow");
  await using proxy = await start({ servers: behind.addresses });
  // As a browser does, whose cookie HAProxy goes by; nginx goes by the address.
  let cookie = "";
  const answered = new Set<string>();
  for (let i = 0; i < 6; i++) {
    const response = await fetch(`${proxy.url}/v1/models`, { headers: { cookie } });
    cookie = response.headers.get("set-cookie")?.split(";")[0] ?? cookie;
    answered.add((await response.json()).data[0].id);
  }
  assert.equal(answered.size, 1);
});

proxyTest("a server that drains gets no new work, and no client sees its 503", async (start) => {
  await using behind = await Behind.start(["a", "b"]);
  await behind.tell("flow");
  await using proxy = await start({ servers: behind.addresses });
  const sessions = Array.from({ length: 20 }, (_, i) => `session-${i}`);
  const before = await Promise.all(sessions.map((session) => serverOf(proxy.url, session)));
  assert.ok(before.includes("a"));
  await behind.servers[0]!.tell("drain");
  while ((await fetch(`http://${behind.addresses[0]}/health`)).ok);
  const after = await Promise.all(sessions.map((session) => serverOf(proxy.url, session)));
  assert.deepEqual(after, sessions.map(() => "b"));
});

proxyTest("a reload under load drops nothing", async (start) => {
  await using before = await Behind.start(["before"]);
  await using after = await Behind.start(["after"]);
  await using proxy = await start({ servers: before.addresses });
  // One answer has begun when the configuration changes, and goes on after the last reload.
  const long = ask(proxy.url, { tokens: 10 });
  await before.tell("token");
  const events = pieces(await long);
  const heard = [(await events.next()).value!];
  await Promise.all([before.tell("new"), after.tell("new")]);

  let stop = false;
  const seen = { before: 0, after: 0 };
  const load = Promise.all(Array.from({ length: 6 }, async () => {
    while (!stop) {
      const response = await ask(proxy.url, { tokens: 10 });
      assert.equal(response.status, 200);
      const events = await Array.fromAsync(pieces(response));
      assert.equal(textOf(events), "Oui. Oui. ");
      seen[JSON.parse(events[0]!.slice("data: ".length)).model as "before" | "after"]++;
    }
  }));
  for (let reload = 0; reload < 6; reload++) {
    const name = reload % 2 === 0 ? "after" : "before";
    await proxy.reload({ servers: (name === "after" ? after : before).addresses });
    const enough = seen[name] + 12;
    // A failure of the load ends the wait.
    await Promise.race([load, until(() => seen[name] >= enough)]);
  }
  stop = true;
  await load;
  await before.tell("flow");
  heard.push(...await Array.fromAsync(events));
  assert.equal(textOf(heard), "Oui. Oui. ");
});

for (const phase of ["before its first token", "in the middle of its answer"]) {
  proxyTest(`a client that leaves ${phase} ends its request at the server`, async (start) => {
    // Until the first event a server sends its headers only when a comment is due.
    await using behind = await Behind.start(["a"], OFTEN);
    await using proxy = await start({ servers: behind.addresses });
    const leaving = new AbortController();
    const answer = ask(proxy.url, { tokens: 50, signal: leaving.signal });
    if (phase !== "before its first token") await behind.tell("token");
    await pieces(await answer).next();
    leaving.abort();
    await behind.servers[0]!.says(/A client left/);
  });
}

proxyTest(
  "a client that leaves a whole answer to a long prompt ends its request",
  async (start) => {
    await using behind = await Behind.start(["a"]);
    await using proxy = await start({ servers: behind.addresses });
    const leaving = new AbortController();
    const prompt = "- Oui ? ".repeat(200);
    const answer = ask(proxy.url, { prompt, stream: false, signal: leaving.signal });
    await behind.tell("token");
    const log = behind.servers[0]!;
    await log.says(/A token goes/);
    leaving.abort();
    await assert.rejects(answer, { name: "AbortError" });
    await log.says(/A client left/);
  },
  ["haproxy"],
);

proxyTest("a body that is too long is refused by Clairon, in its own words", async (start) => {
  await using behind = await Behind.start(["a"]);
  await using proxy = await start({ servers: behind.addresses });
  const response = await fetch(
    `${proxy.url}/generate`,
    jsonPost({ inputs: "x".repeat(2_000_001) }),
  );
  assert.equal(response.status, 413);
  assert.equal((await response.json()).error_type, "too_large");
});
