/** One edge and several sidecars, each a process: killed, drained, added, slow. Nothing is lost. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  EDGE_RIGHTS,
  edgeOver,
  eventually,
  fakeSidecar,
  freePort,
  infoOf,
  MAIN,
  type Outcome,
  runningOn,
  SIDECAR_KEY,
  stream,
} from "./edge_rig.ts";
import { jsonPost } from "./helpers.ts";
import { ServerProcess } from "./server_process.ts";

/** Waits until an edge has found a sidecar; its URL. */
async function readyUrl(edge: ServerProcess): Promise<string> {
  await edge.says(/is ready on/);
  return await edge.url();
}

/** What the fixture's script says in so many tokens: the same on every sidecar. */
function assertWhole(outcomes: Outcome[], tokens: number) {
  const texts = new Set(outcomes.map(({ text }) => text));
  assert.equal(texts.size, 1, [...texts].join(" | "));
  assert.match(outcomes[0]!.text!, /^Oui, bien\.Oui, bien\./);
  assert.ok(outcomes.every((outcome) => outcome.tokens === tokens && !outcome.error));
}

Deno.test("kill -9 of a sidecar under load: its streams end with an error, all others in peace", async () => {
  await using a = fakeSidecar(20);
  await using b = fakeSidecar(20);
  await using c = fakeSidecar(20);
  const urls = await Promise.all([a.url(), b.url(), c.url()]);
  await using edge = edgeOver(urls);
  const url = await edge.url();
  for (const each of urls) await edge.says(new RegExp(`${each} takes requests`));

  const all = Array.from({ length: 24 }, (_, i) => stream(url, 100, `session ${i}`));
  await eventually(async () =>
    (await Promise.all(urls.map(runningOn))).reduce((x, y) => x + y) === 24
  );
  // Every stream has begun: what has a token cannot be given to another sidecar.
  await sleep(100);
  const victims = await runningOn(urls[1]!);
  b.signal("SIGKILL");
  // These come while the edge may not know yet.
  const later = Array.from({ length: 12 }, (_, i) => stream(url, 10, `session ${i}`));

  const outcomes = await Promise.all(all);
  const broken = outcomes.filter(({ error }) => error !== undefined);
  assert.ok(victims > 0 && victims < 24);
  assert.equal(broken.length, victims);
  assert.ok(
    broken.every(({ error, tokens }) => error === "generation" && tokens > 0 && tokens < 100),
  );
  assertWhole(outcomes.filter(({ error }) => error === undefined), 100);
  assertWhole(await Promise.all(later), 10);
  assert.doesNotMatch(edge.stdout, /"fault"/);
});

Deno.test("a drained sidecar ends what it has; one that comes later gets work; no request fails", async () => {
  await using a = fakeSidecar(10);
  await using b = fakeSidecar(10);
  const port = freePort();
  const urls = [await a.url(), await b.url(), `http://127.0.0.1:${port}`];
  await using edge = edgeOver(urls);
  const url = await edge.url();
  for (const each of urls.slice(0, 2)) await edge.says(new RegExp(`${each} takes requests`));
  await edge.says(new RegExp(`${urls[2]} cannot be reached`));

  const before = Array.from({ length: 12 }, (_, i) => stream(url, 80, `session ${i}`));
  await eventually(async () => await runningOn(urls[0]!) > 0 && await runningOn(urls[1]!) > 0);
  a.signal("SIGTERM");
  await a.says(/SIGTERM: /);
  const during = Array.from({ length: 12 }, (_, i) => stream(url, 80, `session ${i}`));
  assertWhole(await Promise.all([...before, ...during]), 80);
  assert.equal(await a.exit(), 0);

  await using c = fakeSidecar(10, port);
  await c.url();
  await edge.says(new RegExp(`${urls[2]} takes requests`));
  const after = Array.from({ length: 12 }, (_, i) => stream(url, 80, `session ${i}`));
  await eventually(async () => await runningOn(urls[2]!) > 0);
  assertWhole(await Promise.all(after), 80);

  // Each was let in once, and computed to its end once.
  edge.signal("SIGTERM");
  assert.equal(await edge.exit(), 0);
  const lines = edge.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, 36);
  assert.ok(lines.every(({ status, tokens, error }) => status === 200 && tokens === 80 && !error));
  const computed = (await Promise.all(urls.slice(1).map(infoOf))).map(({ stats }) => stats.rows);
  const drained = a.stdout.trim().split("\n").map((line) => JSON.parse(line).tokens ?? 0);
  assert.equal([...computed, ...drained].reduce((x, y) => x + y), 36 * 80);
});

Deno.test("a slow sidecar gets less, and holds up nobody who did not meet it", async () => {
  await using slow = fakeSidecar(200);
  await using quick = fakeSidecar(2);
  const urls = [await slow.url(), await quick.url()];
  await using edge = edgeOver(urls);
  const url = await edge.url();
  for (const each of urls) await edge.says(new RegExp(`${each} takes requests`));
  let left = 60;
  const outcomes: Outcome[] = [];
  async function client() {
    while (left-- > 0) outcomes.push(await stream(url, 10, `session ${left}`));
  }
  await Promise.all(Array.from({ length: 6 }, client));
  assert.equal(outcomes.length, 60);
  assertWhole(outcomes, 10);
  const rows = (await Promise.all(urls.map(infoOf))).map(({ stats }) => stats.rows);
  assert.equal(rows[0]! + rows[1]!, 600);
  assert.ok(rows[0]! > 0 && rows[0]! < rows[1]! / 2, String(rows));
});

Deno.test("a client that leaves stops the sidecar within two steps, through both hops", async () => {
  await using sidecar = fakeSidecar(250);
  const sidecarUrl = await sidecar.url();
  await using edge = edgeOver([sidecarUrl]);
  const url = await edge.url();
  await edge.says(/takes requests/);
  const leave = new AbortController();
  const init = jsonPost({ inputs: "Bonjour", parameters: { max_new_tokens: 1000 } }, leave.signal);
  const reader = (await fetch(`${url}/generate_stream`, init)).body!
    .pipeThrough(new TextDecoderStream()).getReader();
  let seen = 0;
  while (seen < 3) seen += (await reader.read()).value!.match(/^data:/gm)?.length ?? 0;
  leave.abort();
  reader.read().catch(() => {});
  await eventually(async () => await runningOn(sidecarUrl) === 0);
  await sleep(1000);
  const { rows } = (await infoOf(sidecarUrl)).stats;
  assert.ok(rows >= seen && rows <= seen + 2, `${rows} rows, ${seen} tokens seen`);
  assert.match(edge.stdout, /"error":"cancelled"/);
  assert.match(sidecar.stdout, /"error":"cancelled"/);
});

Deno.test("with every sidecar down the answer is 503 and when to come again, in each API's shape", async () => {
  await using sidecar = fakeSidecar(0);
  await using edge = edgeOver([await sidecar.url()]);
  const url = await edge.url();
  await edge.says(/takes requests/);
  sidecar.signal("SIGKILL");
  await sidecar.exit();
  const cases = {
    "/generate": { inputs: "x" },
    "/generate_stream": { inputs: "x" },
    "/v1/completions": { prompt: "x" },
    "/v1/dialogues": { turns: [{ text: "x" }] },
    "/api/v1/generate": { prompt: "x" },
  };
  for (const [path, body] of Object.entries(cases)) {
    const response = await fetch(url + path, jsonPost(body));
    assert.equal(response.status, 503, path);
    assert.equal(response.headers.get("retry-after"), "5", path);
    assert.match(await response.text(), /No GPU server answers now/, path);
  }
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 503);
  assert.equal((await health.json()).status, "unavailable");
});

Deno.test("an edge starts with network, its model's folder and its variables, and nothing else", async () => {
  const kinds = EDGE_RIGHTS.map((right) => right.split("=")[0]);
  assert.deepEqual(kinds, ["--no-prompt", "--allow-net", "--allow-read", "--allow-env"]);
  await using sidecar = fakeSidecar(0);
  const sidecarUrl = await sidecar.url();
  await using edge = edgeOver([sidecarUrl]);
  assert.equal((await stream(await readyUrl(edge), 5)).tokens, 5);

  // What its flags say needs no variable.
  const flags = ["--port", "0", "--engine", sidecarUrl, "--sidecar-key", SIDECAR_KEY];
  const rights = EDGE_RIGHTS.filter((right) => !right.startsWith("--allow-env"));
  await using told = new ServerProcess([MAIN, "serve", ...flags], {}, ["run", ...rights]);
  assert.equal((await stream(await readyUrl(told), 5)).tokens, 5);

  // It does read the folder, so the right is one that counts.
  const blind = rights.filter((right) => !right.startsWith("--allow-read"));
  await using unable = new ServerProcess([MAIN, "serve", ...flags], {}, ["run", ...blind]);
  assert.equal(await unable.exit(), 1);
  assert.match(unable.stderr, /no permission for this process to read it/);
  assert.doesNotMatch(unable.stderr, /between-us|\n +at /);
});

Deno.test("an edge with another sidecar key ends, and says which sidecar refuses it", async () => {
  await using sidecar = fakeSidecar(0);
  const sidecarUrl = await sidecar.url();
  const flags = ["--port", "0", "--engine", sidecarUrl, "--sidecar-key", "wr0ng"];
  await using edge = new ServerProcess([MAIN, "serve", ...flags]);
  assert.equal(await edge.exit(), 1);
  assert.ok(edge.stderr.includes(`${sidecarUrl} has another sidecar key.`), edge.stderr);
  assert.doesNotMatch(edge.stderr + edge.stdout, /wr0ng|between-us/);
});
