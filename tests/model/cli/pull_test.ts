/** The command as a process of its own, which can be stopped and killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { help, run } from "../../../model/cli/pull.ts";
import { type Branches, commitOf, type MockHub, REPO, sha256 } from "../hub/mock_hub.ts";
import {
  largeRepository,
  listing,
  NEEDED,
  type Place,
  repository,
  withHub,
} from "../hub/repositories.ts";
import { captured } from "./captured.ts";

const MODULE = new URL("../../../model/cli/pull.ts", import.meta.url).href;
const WEIGHTS = "model.safetensors";
const MIB = 2 ** 20;
const small: Branches = { main: await repository(), "a/b": await repository({ bits: 8 }) };
const large: Branches = { main: await largeRepository(70 * MIB) };
const largeHash = sha256(large.main![WEIGHTS]!.bytes);

/** Ends by printing the most memory it ever had, in kB, to standard error. */
function start({ variables }: Place, args: string[] = []): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    cwd: new URL("../../../", import.meta.url), // for its import map
    args: [
      "eval",
      "--quiet",
      `import { run } from "${MODULE}";
       const code = await run(Deno.args);
       const status = await Deno.readTextFile("/proc/self/status").catch(() => "");
       console.error(/VmHWM:.*/.exec(status)?.[0] ?? "");
       Deno.exit(code);`,
      ...args,
    ],
    env: { ...variables, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outcome(child: Deno.ChildProcess) {
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Holds the weights back once so many bytes are sent, until released; `held` settles then. */
function hold(hub: MockHub, bytes: number) {
  const held = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let pieces = 0;
  hub.onPiece = async ({ file, host }) => {
    if (file !== WEIGHTS || host !== "cdn") return;
    if (++pieces * 16384 <= bytes) return;
    held.resolve();
    await release.promise;
  };
  return { held: held.promise, release: release.resolve };
}

/** Bytes of the weights that the journal in the cache says are written. */
function writtenBytes(cache: string): number {
  const journal = listing(cache).find((path) =>
    path.endsWith(`${largeHash}.clairon.incomplete.ranges`)
  );
  const text = journal === undefined ? "" : Deno.readTextFileSync(join(cache, journal));
  return [...text.matchAll(/^(\d+) (\d+)$/gm)].reduce(
    (sum, [, start, end]) => sum + Number(end) - Number(start),
    0,
  );
}

/** Bytes of the weights that the other host was asked for since, by their ranges. */
function askedBytes(hub: MockHub, since: number): number {
  const all = large.main![WEIGHTS]!.bytes.length;
  return hub.seen.slice(since).filter(({ file, host }) => file === WEIGHTS && host === "cdn")
    .reduce((sum, { range }) => {
      const [, start, end] = /(\d+)-(\d+)/.exec(range ?? `0-${all - 1}`)!;
      return sum + Number(end) + 1 - Number(start);
    }, 0);
}

async function assertFetched({ cache }: Place): Promise<void> {
  const folder = join(cache, "models--TheBloke--Claire-7B-0.1-GPTQ");
  const bytes = await Deno.readFile(join(folder, "snapshots", commitOf("main"), WEIGHTS));
  assert.equal(sha256(bytes), largeHash);
  assert.deepEqual(listing(folder).filter((path) => path.includes("clairon")), []);
}

for (const signal of ["SIGKILL", "SIGINT"] as const) {
  Deno.test({
    name: `after ${signal} in the middle, the same command goes on from there`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      withHub({ branches: large }, async (place) => {
        const { hub, cache } = place;
        const gate = hold(hub, 40 * MIB);
        const child = start(place);
        await gate.held;
        while (writtenBytes(cache) < 30 * MIB) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        child.kill(signal);
        const { code, stdout, stderr } = await outcome(child);
        gate.release();
        hub.onPiece = undefined;
        assert.equal(stdout, "");
        if (signal !== "SIGKILL") {
          assert.equal(code, 130);
          assert.match(stderr, /^Stopped\. The same command goes on from here\.$/m);
        }
        const files = listing(cache);
        assert.ok(files.some((path) => path.endsWith(`${largeHash}.clairon.incomplete`)));
        assert.ok(!files.some((path) => path.includes("refs/") || path.endsWith(`/${WEIGHTS}`)));

        const since = hub.seen.length;
        const again = await outcome(start(place));
        assert.equal(again.code, 0, again.stderr);
        await assertFetched(place);
        assert.ok(askedBytes(hub, since) <= 40 * MIB, `${askedBytes(hub, since)}`);
      }),
  });
}

Deno.test("two pulls at once: one fetches, the other waits for it", () =>
  withHub({ branches: large }, async (place) => {
    const gate = hold(place.hub, 20 * MIB);
    const first = start(place);
    await gate.held;
    const second = start(place);
    const reader = second.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    while (!said.includes("waiting for it")) said += (await reader.read()).value;
    assert.match(said, /^Another process fetches model\.safetensors; waiting for it\.$/m);
    gate.release();
    reader.releaseLock();
    await second.stderr.cancel().catch(() => {});
    const outputs = await Promise.all([outcome(first), second.status]);
    assert.deepEqual(outputs.map(({ code }) => code), [0, 0]);
    await second.stdout.cancel();
    assert.equal(askedBytes(place.hub, 0), large.main![WEIGHTS]!.bytes.length);
    await assertFetched(place);
  }));

Deno.test({
  name: "memory stays flat, whatever the size",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const peaks: number[] = [];
    for (const branches of [small, { main: await largeRepository(192 * MIB) }]) {
      await withHub({ branches, pieceBytes: 65536 }, async (place) => {
        const { code, stderr } = await outcome(start(place));
        assert.equal(code, 0, stderr);
        peaks.push(Number(/VmHWM:\s*(\d+) kB/.exec(stderr)![1]) / 1024);
      });
    }
    assert.ok(peaks[1]! - peaks[0]! < 100, `${peaks} MiB`);
  },
});

Deno.test("it prints the folder, and beside it what was done", () =>
  withHub({ branches: small }, async (place) => {
    const folder = (revision: string) =>
      join(place.cache, "models--TheBloke--Claire-7B-0.1-GPTQ", "snapshots", commitOf(revision));
    const first = await outcome(start(place));
    assert.deepEqual([first.code, first.stdout], [0, `${folder("main")}\n`]);
    assert.match(first.stderr, /^TheBloke\S+:main: 100 %, \S+ kB of \S+ kB$/m);
    assert.match(first.stderr, /^TheBloke\S+:main: 5 files, \S+ kB, \S+ kB fetched in \d+ s\.$/m);
    const again = await outcome(start(place, [REPO]));
    assert.match(again.stderr, /^TheBloke\S+:main: 5 files, \S+ kB, all there already\.$/m);
    for (const args of [["--revision", "a/b"], [":a/b"], [`${REPO}:a/b`]]) {
      assert.equal((await outcome(start(place, args))).stdout, `${folder("a/b")}\n`);
    }
    const localDir = join(place.home, "plain");
    const plain = await outcome(start(place, ["--local-dir", localDir, "--connections", "2"]));
    assert.equal(plain.stdout, `${localDir}\n`);
    assert.deepEqual(listing(localDir).filter((path) => !path.startsWith(".")), NEEDED);
  }));

Deno.test("--json prints an object a line, mistakes too", () =>
  withHub({ branches: small }, async (place) => {
    const { code, stdout } = await outcome(start(place, ["--json"]));
    const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(code, 0);
    const progress = events.filter(({ event }) => event === "progress");
    assert.ok(progress.length > 0);
    assert.deepEqual(Object.keys(progress[0]), [
      "event",
      "file",
      "done",
      "total",
      "fetched",
      "bytes_per_second",
      "seconds_left",
    ]);
    const { folder, files, bytes, fetched_bytes, seconds, ...rest } = events.at(-1);
    assert.deepEqual(rest, {
      event: "done",
      repo: REPO,
      revision: "main",
      commit: commitOf("main"),
    });
    assert.ok(folder.startsWith(place.cache) && seconds >= 0);
    assert.deepEqual(files.map(({ name }: { name: string }) => name).sort(), NEEDED);
    assert.equal(fetched_bytes, bytes);
    const missing = await outcome(start(place, ["--json", "--revision", "none"]));
    assert.equal(missing.code, 1);
    const [error] = missing.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(error.event, "error");
    assert.match(error.message, /has no branch, tag or commit "none"/);
  }));

Deno.test("wrong arguments get one sentence and exit code 2; help", async () => {
  const mistakes: [string[], RegExp][] = [
    [["a/a", "b"], /^Expected one model, found 2 arguments/],
    [
      ["a b"],
      /^A model on the hub is named like TheBloke\/Claire-7B-0\.1-GPTQ\[:revision\], found "a b"/,
    ],
    [["me/m:.."], /^A revision is .*found "\.\."/],
    [["--revison", "x"], /^There is no flag --revison\. Did you mean --revision\?/],
    [["--connections", "0"], /^--connections must be a whole number from 1 to 64/],
    [["me/m:a", "--revision", "b"], /given twice/],
    [["gptq-8bit--1g-actorder_True"], /is a branch of .*: give it as --revision gptq-8bit--1g-act/],
  ];
  for (const [args, sentence] of mistakes) {
    const { code, stdout, stderr } = await captured(() => run(args));
    assert.deepEqual([code, stdout], [2, ""], `${args}`);
    assert.match(stderr, sentence);
    assert.match(stderr, /^[^\n]+\.\n$/);
  }
  const { code, stdout } = await captured(() => run(["--help"]));
  assert.deepEqual([code, stdout], [0, `${help}\n`]);
  for (const name of ["--local-dir DIR", "PULL_JSON", "HF_HUB_CACHE", "HF_TOKEN", "HF_ENDPOINT"]) {
    assert.ok(help.includes(name), name);
  }
});
