import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../../model/checkpoint/checkpoint.ts";
import { findFalconTensors } from "../../../model/checkpoint/falcon_tensors.ts";
import { help, run } from "../../../model/cli/synth.ts";
import { captured } from "./captured.ts";

const SMALL = ["--shape", "64x1x1x300"];

async function withFolder(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function names(dir: string): string[] {
  return Array.from(Deno.readDirSync(dir), ({ name }) => name).sort();
}

Deno.test("synth writes what the flags ask for, in folders that it makes", () =>
  withFolder(async (dir) => {
    const out = join(dir, "new", "model");
    const flags =
      "--shape 320x3x5x1000 --bits 8 --group 32 --act-order --bias --tokenizer --seed 7";
    const { code, stdout, stderr } = await captured(() => run([...flags.split(" "), out]));
    assert.equal(code, 0);
    assert.match(stderr, /^(Writing model: \d+ %\n)+$/);
    assert.match(stdout, /^Wrote .*model in [\d.]+ s:\n( {2}\S+ {2}[\d.]+ (bytes|[kM]B)\n){4}$/);
    assert.deepEqual(names(join(dir, "new")), ["model"]);
    const checkpoint = await openCheckpoint(out);
    const { layers } = await findFalconTensors(checkpoint);
    checkpoint.close();
    const { config, quantization } = checkpoint;
    assert.deepEqual([config.hiddenSize, config.layers, config.heads, config.vocabSize], [
      320,
      3,
      5,
      1000,
    ]);
    assert.deepEqual([quantization.bits, quantization.groupSize, quantization.actOrder], [
      8,
      32,
      true,
    ]);
    assert.ok(layers[2]!.down.bias);
    assert.ok(checkpoint.tokenizerPath);
  }));

Deno.test("synth without flags writes a small model, and --group none one group", () =>
  withFolder(async (dir) => {
    assert.equal((await captured(() => run([join(dir, "a")]))).code, 0);
    assert.equal(
      (await captured(() => run(["--group", "none", "--asym", join(dir, "b")]))).code,
      0,
    );
    const settings = ["a", "b"].map(async (name) => {
      const checkpoint = await openCheckpoint(join(dir, name));
      checkpoint.close();
      const { config: { hiddenSize }, quantization } = checkpoint;
      return { hiddenSize, ...quantization };
    });
    const common = { hiddenSize: 192, bits: 4, actOrder: false, zeroOffset: 1 };
    assert.deepEqual(await Promise.all(settings), [
      { ...common, groupSize: 128, symmetric: true },
      { ...common, groupSize: 0, symmetric: false },
    ]);
  }));

Deno.test("synth takes sizes of shards in several units", () =>
  withFolder(async (dir) => {
    for (const [i, size] of ["60000", "60kB", "0.06M"].entries()) {
      const out = join(dir, `${i}`);
      assert.equal((await captured(() => run([...SMALL, "--shard-size", size, out]))).code, 0);
      assert.deepEqual(names(out), names(join(dir, "0")));
      assert.ok(names(out).includes("model.safetensors.index.json"));
    }
  }));

Deno.test("synth replaces a checkpoint by force only, and nothing else ever", () =>
  withFolder(async (dir) => {
    const out = join(dir, "model");
    const write = (...flags: string[]) => captured(() => run([...SMALL, ...flags, out]));
    await Deno.mkdir(out);
    assert.equal((await write("--shard-size", "60kB")).code, 0); // an empty folder is free
    const before = names(out);
    const refused = await write();
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /^\S+model holds a checkpoint .*--force replaces it\.\n$/);
    assert.deepEqual(names(out), before);
    assert.equal((await write("--force")).code, 0);
    assert.deepEqual(names(out), ["config.json", "model.safetensors", "quantize_config.json"]);

    await Deno.writeTextFile(join(out, "thesis.tex"), "");
    const { code, stderr } = await write("--force");
    assert.equal(code, 1);
    assert.match(stderr, /^\S+model holds "thesis.tex", which is no part of a checkpoint/);
    assert.equal(names(out).length, 4);

    const file = await captured(() => run([join(out, "thesis.tex")]));
    assert.deepEqual([file.code, file.stderr], [1, `${join(out, "thesis.tex")} is no folder.\n`]);
    assert.deepEqual(names(dir), ["model"]);
  }));

Deno.test("synth says so when the disk is too small", () =>
  withFolder(async (dir) => {
    const flags = ["--shape", "99968x9999x781x9999999", join(dir, "model")];
    const { code, stderr } = await captured(() => run(flags));
    assert.equal(code, 1);
    assert.match(stderr, /^The checkpoint has \d+\.\d+ TB, but \S+ has room for .*\.\n$/);
    assert.deepEqual(names(dir), []);
  }));

Deno.test("wrong arguments get one sentence and exit code 2", async () => {
  const mistakes: [string, RegExp][] = [
    ["--bits 3 x", /--bits must be 4 or 8, found "3"/],
    ["--group 48 x", /--group must be 32, 64, 128 or none, found "48"/],
    ["--shape huge x", /--shape must be falcon-7b, tiny or HIDDENxLAYERSxHEADS.*, found "huge"/],
    ["--shape 4544x32 x", /found "4544x32"/],
    ["--shape 192x2x5 x", /multiple of the 5 heads, found 192/],
    ["--shape 0x0x0 x", /hidden_size/],
    ["--shape 64x1x1x100 --tokenizer x", /at least 268, found 100/],
    ["--seed 1.5 x", /--seed must be a whole number/],
    ["--shard-size 0 x", /--shard-size must be a number of bytes, .*found "0"/],
    ["--shard-size big x", /found "big"/],
    ["--colour x", /There is no flag --colour/],
    ["", /Expected one folder to write, found none/],
    ["x y", /Expected one folder to write, found "x", "y"/],
  ];
  for (const [args, sentence] of mistakes) {
    const { code, stdout, stderr } = await captured(() => run(args.split(" ").filter(Boolean)));
    assert.deepEqual([code, stdout], [2, ""], args);
    assert.match(stderr, sentence);
    assert.match(stderr, /^[^\n]+\.\n$/);
  }
});

Deno.test("synth --help names every flag", async () => {
  const { code, stdout } = await captured(() => run(["--help"]));
  assert.deepEqual([code, stdout], [0, `${help}\n`]);
});

Deno.test({
  name: "Ctrl-C leaves nothing behind",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (dir) => {
      const module = new URL("../../../model/cli/synth.ts", import.meta.url).href;
      const child = new Deno.Command(Deno.execPath(), {
        cwd: new URL("../../../", import.meta.url), // for its import map
        args: [
          "eval",
          `import { run } from "${module}"; Deno.exit(await run(Deno.args));`,
          ...["--shape", "4544x4x71x9999", join(dir, "model")],
        ],
        stdout: "null",
        stderr: "piped",
      }).spawn();
      // The first line is printed when a tenth is written.
      const { value } = await child.stderr.getReader().read();
      assert.match(new TextDecoder().decode(value), /10 %/);
      assert.deepEqual(names(dir), ["model.partial"]);
      child.kill("SIGINT");
      assert.equal((await child.status).code, 130);
      assert.deepEqual(names(dir), []);
    }),
});
