/** The command as a process of its own: its output is what it is for. Needs a GPU adapter. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { help, run } from "../../../model/cli/generate.ts";
import { loadTokenizer } from "../../../model/tokenizer.ts";
import { MARGIN } from "../../golden.ts";
import { loadReference } from "../../reference.ts";
import { withSynthetic } from "../synthetic.ts";
import { captured } from "./captured.ts";

const MODULE = new URL("../../../model/cli/generate.ts", import.meta.url).href;
const PROMPT = "- Bonjour…\n";
const SPEED =
  /^\d+ tokens?(, \d+\.\d tokens\/s)?(, the first after \d+\.\d\d s)?, on \S.*( \(a CPU\))?\n$/m;

interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    cwd: new URL("../../../", import.meta.url), // for its import map
    args: [
      "eval",
      "--quiet",
      `import { run } from "${MODULE}"; Deno.exit(await run(Deno.args));`,
      ...args,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function generate(args: string[], input = ""): Promise<Output> {
  const child = start(args);
  await new Blob([input]).stream().pipeTo(child.stdin);
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

function withModel(
  tokenizer: boolean,
  body: (dir: string) => Promise<void>,
  maxPositions = 64,
): Promise<void> {
  const shape = { hiddenSize: 64, layers: 1, heads: 1, vocabSize: 2048, maxPositions };
  return withSynthetic({ shape, seed: 11, groupSize: 32, tokenizer }, body);
}

Deno.test("generate streams the answer that the reference gives", () =>
  withModel(true, async (dir) => {
    const tokenizer = await loadTokenizer(join(dir, "tokenizer.json"));
    const reference = await loadReference(dir);
    // Only the line feed at the end of standard input is not part of the prompt.
    const { tokens, margins } = reference.greedy(tokenizer.encode("- Bonjour…"), 12);
    assert.ok(margins.every((margin) => margin > MARGIN), `choose another seed: ${margins}`);
    const answer = tokenizer.decode(tokens, { skipSpecial: true });

    const flags = ["--model", dir, "--greedy", "--max-new-tokens", "12"];
    const { code, stdout, stderr } = await generate(flags, PROMPT);
    assert.deepEqual([code, stdout], [0, `${answer}\n`]);
    assert.match(stderr, SPEED);
    assert.match(stderr, /^12 tokens, \d/m);

    const stop = answer.slice(9, 12);
    const stopped = await generate([...flags, "--stop", "~~~", "--stop", stop, "- Bonjour…"]);
    assert.equal(stopped.stdout, `${answer.slice(0, answer.indexOf(stop))}\n`);
  }));

Deno.test("generate draws by default, and a seed makes the answer repeatable", () =>
  withModel(true, async (dir) => {
    const draw = (seed: string) =>
      generate([
        "--model",
        dir,
        "--seed",
        seed,
        "--max-new-tokens",
        "16",
        "--temperature=1.5",
        "Ça",
      ]);
    const [first, second, other] = [await draw("1"), await draw("1"), await draw("2")];
    assert.equal(first.code, 0);
    assert.equal(first.stdout, second.stdout);
    assert.notEqual(first.stdout, other.stdout);
  }));

Deno.test("an answer ends where the model's context does, and a prompt must fit in it", () =>
  withModel(true, async (dir) => {
    const model = ["--model", dir, "--greedy"];
    const { code, stderr } = await generate([...model, "a".repeat(60)]);
    assert.equal(code, 0);
    assert.match(stderr, /^4 tokens/m);
    const refused = await generate([...model, "a".repeat(64)]);
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /^The prompt has 64 tokens, at most 63 fit\.$/m);
  }));

Deno.test({
  name: "Ctrl-C stops the answer",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withModel(true, async (dir) => {
      const child = start(["--model", dir, "--greedy", "--max-new-tokens", "100000", "Ça va ?"]);
      await child.stdin.close();
      const stderr = new Response(child.stderr).text();
      let chunks = 0;
      for await (const _ of child.stdout) {
        if (chunks++ === 0) child.kill("SIGINT");
      }
      assert.equal((await child.status).code, 130, await stderr);
      assert.match(await stderr, SPEED);
    }, 100_000),
});

Deno.test("a model that cannot answer gets one sentence and exit code 1", async () => {
  await withModel(false, async (dir) => {
    const { code, stdout, stderr } = await captured(() => run(["--model", dir, "Bonjour"]));
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^\S+ holds no tokenizer\.json, which [^\n]+\.\n$/);
    const missing = await captured(() => run(["--model", join(dir, "none"), "Bonjour"]));
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^[^\n]*none[^\n]*\.\n$/);
  });
});

Deno.test("wrong arguments get one sentence and exit code 2", async () => {
  const mistakes: [string[], RegExp][] = [
    [[""], /Expected a prompt, found an empty one/],
    [["a", "b"], /Expected one prompt \(in quotes\), found 2 arguments/],
    [["--greedy", "--temperature", "1", "a"], /--greedy means --temperature 0/],
    [["--temperature", "-1", "a"], /--temperature must be a number from 0 to 100, found "-1"/],
    [["--top-p", "0", "a"], /--top-p must be a number above 0, at most 1, found "0"/],
    [["--typical-p", "1.1", "a"], /--typical-p must be .*found "1\.1"/],
    [["--min-p", "2", "a"], /--min-p must be a number from 0 to 1, found "2"/],
    [["--top-k", "-1", "a"], /--top-k must be a whole number/],
    [["--repetition-penalty", "0", "a"], /--repetition-penalty must be a number from 0\.01/],
    [["--frequency-penalty", "2.1", "a"], /from -2 to 2, found "2\.1"/],
    [["--presence-penalty", "x", "a"], /from -2 to 2, found "x"/],
    [["--max-new-tokens", "0", "a"], /--max-new-tokens must be a whole number from 1/],
    [
      ["--seed", "9007199254740992", "a"],
      /--seed must be a whole number from 0 to 9007199254740991/,
    ],
    [["--tokens", "1", "a"], /There is no flag --tokens/],
  ];
  for (const [args, sentence] of mistakes) {
    const { code, stdout, stderr } = await captured(() => run(args));
    assert.deepEqual([code, stdout], [2, ""], `${args}`);
    assert.match(stderr, sentence);
    assert.match(stderr, /^[^\n]+\.\n$/);
  }
});

Deno.test("generate --help", async () => {
  const { code, stdout } = await captured(() => run(["--help"]));
  assert.deepEqual([code, stdout], [0, `${help}\n`]);
});
