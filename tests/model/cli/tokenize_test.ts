import assert from "node:assert/strict";
import { join } from "node:path";
import { byteTokenizerJson } from "../../../model/byte_tokenizer.ts";
import { help } from "../../../model/cli/tokenize.ts";

const MODULE = new URL("../../../model/cli/tokenize.ts", import.meta.url).href;
const SCRIPT = `import { run } from "${MODULE}"; Deno.exit(await run(Deno.args));`;

async function tokenize(args: string[], input: string | Uint8Array<ArrayBuffer>) {
  const child = new Deno.Command(Deno.execPath(), {
    // The root, for its import map.
    cwd: new URL("../../../", import.meta.url),
    args: ["eval", "--quiet", SCRIPT, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // At the same time: a pipe that nobody reads fills up. The child may stop reading early.
  const written = new Blob([input]).stream().pipeTo(child.stdin).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await written;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs `body` with a folder that holds a byte tokenizer. */
async function withModel(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const file = JSON.stringify(byteTokenizerJson(268));
    await Deno.writeTextFile(join(folder, "tokenizer.json"), file);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("tokenize: a line of ids for each line of text", () =>
  withModel(async (folder) => {
    const texts = ["é!", "", "a\u2028\n<|endoftext|>", "\ud800"];
    // A line separator may stand unescaped in JSON; a line may end in CRLF, the last in nothing.
    const input = texts.map((text) => JSON.stringify(text)).join("\r\n")
      .replace("\\u2028", "\u2028");
    const expected = ["é!", "", "a\u2028\n<|endoftext|>", "\ufffd"].map((text) =>
      JSON.stringify(Array.from(new TextEncoder().encode(text), (byte) => 12 + byte)) + "\n"
    ).join("");
    for (
      const args of [["--model", folder], ["--tokenizer", join(folder, "tokenizer.json")]]
    ) {
      assert.deepEqual(await tokenize(args, input), { code: 0, stdout: expected, stderr: "" });
    }
  }));

Deno.test("tokenize: many lines come out in order, across the chunks of a pipe", () =>
  withModel(async (folder) => {
    const input = Array.from({ length: 30_000 }, (_, n) => `"${n}"\n`).join("");
    const { code, stdout } = await tokenize(["--model", folder], input);
    assert.equal(code, 0);
    const digits = stdout.trimEnd().split("\n").map((line) =>
      String.fromCharCode(...JSON.parse(line).map((id: number) => id - 12))
    );
    assert.deepEqual(digits, Array.from({ length: 30_000 }, (_, n) => String(n)));
  }));

const BAD_LINES: [line: string, found: string][] = [
  ["[1]", "an array"],
  ["{}", "an object"],
  ["7", "a number"],
  ["null", "null"],
  ["", "an empty line"],
  ['"a', "invalid JSON"],
];
for (const [line, found] of BAD_LINES) {
  Deno.test(`tokenize: a bad line is named, and nothing before it is lost: ${found}`, () =>
    withModel(async (folder) => {
      assert.deepEqual(await tokenize(["--model", folder], `"a"\n"b"\n${line}\n"c"\n`), {
        code: 1,
        stdout: "[109]\n[110]\n",
        stderr: `Line 3 should be a JSON string, found ${found}.\n`,
      });
    }));
}

Deno.test("tokenize: a line that is not UTF-8", () =>
  withModel(async (folder) => {
    const input = new Uint8Array([...new TextEncoder().encode('"a"\n"'), 0xff, 0x22, 0x0a]);
    const { code, stdout, stderr } = await tokenize(["--model", folder], input);
    assert.deepEqual([code, stdout], [1, "[109]\n"]);
    assert.equal(stderr, "Line 2 should be a JSON string, found invalid UTF-8.\n");
  }));

Deno.test("tokenize: help, wrong options and a missing file", async () => {
  assert.deepEqual(await tokenize(["--help"], ""), { code: 0, stdout: help, stderr: "" });
  for (const args of [[], ["--model", "a", "--tokenizer", "b"], ["--nonsense"], ["stray"]]) {
    const { code, stdout, stderr } = await tokenize(args, "");
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^[^\n]+\. Try --help\.\n$/);
  }
  const { code, stderr } = await tokenize(["--model", "no-such-folder"], "");
  assert.equal(code, 1);
  assert.match(stderr, /^The tokenizer file no-such-folder.tokenizer\.json does not exist\.\n$/);
});
