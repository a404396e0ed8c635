/** The built-in model, in a cache of the test's own. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { builtinModel } from "../../model/builtin.ts";
import { openCheckpoint } from "../../model/checkpoint/checkpoint.ts";
import { findFalconTensors } from "../../model/checkpoint/falcon_tensors.ts";
import { loadTokenizer } from "../../model/tokenizer.ts";

/** Runs `body` with variables set as given and, after it, as they were. */
async function withVariables(
  variables: Record<string, string>,
  body: () => Promise<void>,
): Promise<void> {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await body();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

async function withCache(body: (cache: string) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await withVariables({ XDG_CACHE_HOME: cache }, () => body(cache));
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

function names(dir: string): string[] {
  return Array.from(Deno.readDirSync(dir), ({ name }) => name).sort();
}

/** The folder, and whether the model had to be made. */
async function ask(): Promise<{ dir: string; made: boolean }> {
  let made = false;
  return { dir: await builtinModel(() => made = true), made };
}

Deno.test("the built-in model is made once, and can be loaded", () =>
  withCache(async (cache) => {
    const { dir, made } = await ask();
    assert.ok(made);
    assert.ok(dir.startsWith(join(cache, "clairon", "builtin-")));
    assert.deepEqual(await ask(), { dir, made: false });
    assert.equal(names(dirname(dir)).length, 1);

    const checkpoint = await openCheckpoint(dir);
    await findFalconTensors(checkpoint);
    checkpoint.close();
    const tokenizer = await loadTokenizer(checkpoint.tokenizerPath!);
    assert.equal(tokenizer.vocabSize, checkpoint.config.vocabSize);
    assert.equal(tokenizer.decode(tokenizer.encode("Ça va ?")), "Ça va ?");
  }));

Deno.test("a damaged copy is made anew, whatever is damaged", () =>
  withCache(async () => {
    const { dir } = await ask();
    const whole = await Deno.readFile(join(dir, "model.safetensors"));
    const damages: ((path: string) => Promise<void>)[] = [
      (path) => Deno.remove(path),
      (path) => Deno.truncate(path, 100),
      async (path) => {
        const bytes = await Deno.readFile(path);
        bytes[bytes.length >> 1]! ^= 1;
        await Deno.writeFile(path, bytes);
      },
    ];
    for (const name of names(dir)) {
      for (const damage of damages) {
        await damage(join(dir, name));
        assert.deepEqual(await ask(), { dir, made: true }, name);
        assert.deepEqual(await ask(), { dir, made: false }, name);
      }
    }
    assert.deepEqual(await Deno.readFile(join(dir, "model.safetensors")), whole);
    assert.equal(names(dirname(dir)).length, 1);
  }));

Deno.test("several may ask at once, also for a damaged copy", () =>
  withCache(async () => {
    const first = await Promise.all([ask(), ask(), ask()]);
    const { dir } = first[0]!;
    assert.ok(first.every((each) => each.dir === dir));
    await Deno.truncate(join(dir, "model.safetensors"));
    await Promise.all([ask(), ask(), ask()]);
    assert.deepEqual(await ask(), { dir, made: false });
    assert.equal(names(dirname(dir)).length, 1);
  }));

Deno.test("a cache that cannot be written is replaced by a temporary folder", () =>
  withCache(async (cache) => {
    const file = join(cache, "file");
    await Deno.writeTextFile(file, "");
    await withVariables({ XDG_CACHE_HOME: join(file, "cache") }, async () => {
      const { dir, made } = await ask();
      assert.ok(made);
      assert.ok(!dir.startsWith(cache));
      const checkpoint = await openCheckpoint(dir);
      checkpoint.close();
      await Deno.remove(dirname(dir), { recursive: true });
    });
  }));

Deno.test("without XDG_CACHE_HOME the cache is in the home folder", () =>
  withCache(async (home) => {
    for (const unset of ["", "relative/path"]) {
      await withVariables({ XDG_CACHE_HOME: unset, HOME: home }, async () => {
        const { dir } = await ask();
        assert.ok(dir.startsWith(join(home, ".cache", "clairon")), dir);
      });
    }
  }));
