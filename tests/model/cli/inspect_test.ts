/** `inspect` as a process: the JSON it prints, and its sentences when something is wrong. */
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { help } from "../../../model/cli/inspect.ts";
import { agreedGreedy, committedGolden, goldenDirs, loadGolden, nmse } from "../../golden.ts";
import { withCopy } from "../checkpoint/damaged.ts";

const MAIN = fileURLToPath(new URL("../../../main.ts", import.meta.url));
const MODEL = committedGolden("q4-g128-act");

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function inspect(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "inspect", ...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const text = new TextDecoder();
  // Drivers of the system say things there before we do.
  const ours = text.decode(stderr).replace(/^.*XDG_RUNTIME_DIR.*\n/gm, "");
  return { code, stdout: text.decode(stdout), stderr: ours };
}

interface Inspected {
  logits: number[];
  greedy: number[];
  adapter: string;
}

async function inspected(...args: string[]): Promise<Inspected> {
  const { code, stdout, stderr } = await inspect(args);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  const object = JSON.parse(stdout);
  assert.deepEqual(Object.keys(object), ["logits", "greedy", "adapter"]);
  assert.match(object.adapter, /./);
  return object;
}

for (const dir of goldenDirs()) {
  const golden = loadGolden(dir);
  Deno.test(`inspect: ${golden.name} gives the golden logits and greedy tokens`, async () => {
    const { ids, lastLogits, greedy, greedyMargin } = golden.prompts.at(-1)!;
    const found = await inspected("--model", dir, "--tokens", ids.join(), "--steps", "16");
    const error = nmse(found.logits, lastLogits);
    assert(error <= 1e-5, `NMSE ${error}`);
    assert.equal(found.greedy.length, 16);
    agreedGreedy(greedy, greedyMargin, found.greedy);
  });
}

Deno.test("inspect: the same logits from small chunks and small bindings", async () => {
  const { ids, lastLogits, greedy } = loadGolden(MODEL).prompts[2]!;
  const common = ["--model", MODEL, "--tokens", ids.join(", ")];
  const flags = [["--chunk", "7"], ["--chunk", "1"], ["--max-binding", "65536"], ["--steps=1"]];
  for (const more of flags) {
    const found = await inspected(...common, ...more);
    const error = nmse(found.logits, lastLogits);
    assert(error <= 1e-5, `${more}: NMSE ${error}`);
    assert.deepEqual(found.greedy, more[0] === "--steps=1" ? [greedy[0]] : []);
  }
});

Deno.test("inspect: help, and the model from the environment", async () => {
  assert.deepEqual(await inspect(["--help"]), { code: 0, stdout: `${help}\n`, stderr: "" });
  const { code, stdout } = await inspect(["--tokens", "5"], { MODEL });
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).logits.length, 512);
});

/** Arguments that are refused, and the sentence that says why. */
const WRONG: [args: string[], sentence: RegExp][] = [
  [[], /^--model is needed, .*\.$/],
  [["--model", MODEL], /^--tokens is needed, such as 1,2,3\. Try --help\.$/],
  [["--model", MODEL, "--tokens", ""], /^--tokens must be token ids such as 1,2,3, found ""\.$/],
  [["--model", MODEL, "--tokens", "1,,2"], /found ""\.$/],
  [["--model", MODEL, "--tokens", "1,a"], /^--tokens must be .*, found "a"\.$/],
  [["--model", MODEL, "--tokens", "-1"], /found "-1"\.$/],
  [["--model", MODEL, "--tokens", "1.5"], /found "1\.5"\.$/],
  [["--model", MODEL, "--tokens", "1,512"], /^--tokens must be ids below 512, found "512"\.$/],
  [
    ["--model", MODEL, "--tokens", "1,2", "--steps", "2047"],
    /^--tokens and --steps must be 2048 tokens at most, found 2 and 2047\.$/,
  ],
  [["--model", MODEL, "--tokens", "1", "--steps", "x"], /^--steps must be .*, found "x"\.$/],
  [["--model", MODEL, "--tokens", "1", "--chunk", "0"], /^--chunk must be .* from 1 .*"0"\.$/],
  [["--model", MODEL, "--tokens", "1", "--max-binding", "0"], /^--max-binding must be .*"0"\.$/],
  [["--model", MODEL, "--tokens"], /^--tokens needs a value: --tokens IDS\.$/],
  [
    ["--model", MODEL, "--token", "1"],
    /^There is no flag --token\. Did you mean --tokens\? Try --help\.$/,
  ],
  [["--model", MODEL, "--tokens", "1", "2"], /^Expected flags alone, found "2"\. Try --help\.$/],
];

Deno.test("inspect: wrong arguments get one sentence and 2", async () => {
  for (const [args, sentence] of WRONG) {
    const { code, stdout, stderr } = await inspect(args, { MODEL: "" });
    assert.equal(code, 2, args.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, /^[^\n]+\n$/, args.join(" "));
    assert.match(stderr.trimEnd(), sentence);
  }
});

/** Asserts that there is one sentence on standard error, and the exit code 1. */
function assertFailed({ code, stdout, stderr }: Outcome, sentence: RegExp): void {
  assert.equal(code, 1, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, /^[^\n]+\n$/);
  assert.match(stderr, sentence);
}

Deno.test("inspect: a model that cannot be used gets one sentence and 1", () =>
  withCopy(async (copy) => {
    const tokens = ["--tokens", "1"];
    const args = ["--model", copy.dir, ...tokens];
    assertFailed(
      await inspect(["--model", "./no/such", ...tokens]),
      /no\/such.* should be a folder/,
    );
    assertFailed(
      await inspect([...args, "--max-binding", "5"]),
      /1280 bytes.* do not fit a binding/,
    );
    await Deno.truncate(copy.path("model.safetensors"), 300_000);
    assertFailed(await inspect(args), /model\.safetensors: .* should be .*, found .*\.$/m);
    await Deno.remove(copy.path("config.json"));
    assertFailed(await inspect(args), /config\.json/);
  }));

Deno.test({
  name: "inspect: without an adapter it says what to install",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const env = { DENO_WEBGPU_BACKEND: "metal" };
    const outcome = await inspect(["--model", MODEL, "--tokens", "1"], env);
    assertFailed(outcome, /^No GPU adapter was found: install a Vulkan driver/);
  },
});
