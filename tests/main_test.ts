/** The program's entry: commands, help, and that importing it does nothing. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

const NAMES = [
  "serve",
  "generate",
  "pull",
  "branches",
  "doctor",
  "inspect",
  "tokenize",
  "synth",
  "bench",
  "simulate",
];

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function deno(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const command = new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1", ...env } });
  const { code, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function run(...args: string[]): Promise<Outcome> {
  return deno(["run", "-A", MAIN, ...args]);
}

Deno.test("help lists the commands, however it is asked for", async () => {
  for (const args of [["help"], ["--help"], ["-h"]]) {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    for (const name of NAMES) {
      assert.match(stdout, new RegExp(`^  ${name} `, "m"));
    }
  }
  const bare = await run();
  assert.equal(bare.code, 0);
  assert.match(bare.stdout, /^ {2}serve /m);
});

Deno.test("an unknown command gets a suggestion and 2", async () => {
  const { code, stdout, stderr } = await run("sreve");
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.equal(stderr, 'There is no command "sreve". Did you mean serve? Try --help.\n');
});

Deno.test("commands get their arguments, and their exit code is the program's", async () => {
  const help = await run("serve", "--help");
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--drain-seconds NUMBER +DRAIN_SECONDS/);
  const wrong = await run("serve", "--prot", "1");
  assert.equal(wrong.code, 2);
  assert.equal(wrong.stderr, "There is no flag --prot. Did you mean --port? Try --help.\n");
});

Deno.test("every command has help, and every flag of it is a variable", async () => {
  for (const name of NAMES) {
    const { code, stdout, stderr } = await run(name, "--help");
    assert.deepEqual([code, stderr], [0, ""], name);
    assert.match(stdout, new RegExp(`^Usage: deno task ${name} `, "m"));
    const lines = stdout.match(/^ {2}--[a-z].*$/gm)!;
    const flags = lines.filter((line) => !/^ {2}--help +this text$/.test(line));
    assert.ok(flags.length < lines.length, name);
    assert.ok(flags.length > 0, name);
    for (const line of flags) {
      assert.match(line, /^ {2}--[a-z-]+( [A-Z]+)? +[A-Z][A-Z_]+ +\S/, name);
    }
  }
});

Deno.test("the README lists every flag with its variable", async () => {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  for (const name of NAMES) {
    const { stdout } = await run(name, "--help");
    const flags = stdout.matchAll(/^ {2}(--[a-z-]+)(?: [A-Z]+)? +([A-Z][A-Z_]+) /gm);
    for (const [, flag, variable] of flags) {
      const row = new RegExp(`^\\| \`${flag}( [A-Z]+)?\` +\\| \`${variable}\` `, "m");
      assert.match(readme, row, `${name} ${flag}`);
    }
  }
});

Deno.test("`deno serve` starts the server, with settings from the environment", async () => {
  const args = ["serve", "-A", "--host", "127.0.0.1", "--port", "0", MAIN];
  const wrong = await deno(args, { QUEUE_LIMIT: "none" });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^QUEUE_LIMIT must be .*, found "none"\.$/m);

  const missing = await deno(args, { MODEL: "no/such/folder" });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^Listening on http:\/\/127\.0\.0\.1:\d+; the model is loading\.$/m);
  assert.doesNotMatch(missing.stderr, /^ +at /m);
});

Deno.test("importing main.ts does nothing", async () => {
  const before = Deno.env.toObject();
  const module = await import("../main.ts");
  assert.equal(typeof module.default.fetch, "function");
  assert.deepEqual(Deno.env.toObject(), before);
});
