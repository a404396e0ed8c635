import assert from "node:assert/strict";
import { openCheckpoint } from "../../../model/checkpoint/checkpoint.ts";
import { writeSafetensors } from "../../safetensors.ts";
import { type Copy, refused, withCopy } from "./damaged.ts";

const INDEX = "model.safetensors.index.json";
const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;

/** Splits a copy's weights into two shards, every other tensor each, with their index. */
async function shard(copy: Copy): Promise<Record<string, string>> {
  const tensors = [...await copy.tensors()];
  const weightMap: Record<string, string> = {};
  for (const [part, file] of SHARDS.entries()) {
    const own = tensors.filter((_, i) => i % 2 === part);
    for (const [name] of own) weightMap[name] = file;
    await writeSafetensors(copy.path(file), new Map(own));
  }
  await Deno.remove(copy.path("model.safetensors"));
  await writeIndex(copy, weightMap);
  return weightMap;
}

function writeIndex(copy: Copy, weight_map: unknown): Promise<void> {
  return copy.writeJson(INDEX, { metadata: { total_size: 1 }, weight_map });
}

async function pathsOf(copy: Copy): Promise<string[]> {
  const checkpoint = await openCheckpoint(copy.dir);
  checkpoint.close();
  return [...new Set([...checkpoint.tensors.values()].map(({ path }) => path))].sort();
}

Deno.test("weights: shards hold the same tensors as one file", () =>
  withCopy(async (copy) => {
    const expected = await copy.tensors();
    await shard(copy);
    const checkpoint = await openCheckpoint(copy.dir);
    try {
      assert.deepEqual([...checkpoint.tensors.keys()].sort(), [...expected.keys()].sort());
      await Promise.all([...checkpoint.tensors.values()].map(async (tensor) => {
        assert.deepEqual(await checkpoint.read(tensor), expected.get(tensor.name)!.bytes);
      }));
    } finally {
      checkpoint.close();
    }
    assert.deepEqual(await pathsOf(copy), SHARDS.map((name) => copy.path(name)));
  }));

Deno.test("weights: the other names of a single file", () =>
  withCopy(async (copy) => {
    const names = ["gptq_model-4bit-128g.safetensors", "named.safetensors", "model.safetensors"];
    await copy.edit("quantize_config.json", { model_file_base_name: "named" });
    await Deno.rename(copy.path("model.safetensors"), copy.path(names[0]!));
    for (const [i, name] of names.entries()) {
      // Each name comes before those that are already there.
      if (i > 0) await Deno.copyFile(copy.path(names[0]!), copy.path(name));
      assert.deepEqual(await pathsOf(copy), [copy.path(name)]);
    }
  }));

Deno.test("weights: no group is -1 in a file's name", () =>
  withCopy(async (copy) => {
    await copy.edit("quantize_config.json", { group_size: -1, bits: 8 });
    const name = copy.path("gptq_model-8bit--1g.safetensors");
    await Deno.rename(copy.path("model.safetensors"), name);
    assert.deepEqual(await pathsOf(copy), [name]);
  }));

Deno.test("weights: without weights, the sentence says what was looked for and what is there", () =>
  withCopy(async (copy) => {
    await Deno.rename(copy.path("model.safetensors"), copy.path("pytorch_model.bin"));
    await refused(
      () => openCheckpoint(copy.dir),
      "model.safetensors",
      "gptq_model-4bit-128g.safetensors",
      'only "pytorch_model.bin"',
    );
    await Deno.remove(copy.path("pytorch_model.bin"));
    await refused(() => openCheckpoint(copy.dir), "found no such file");
  }));

Deno.test("weights: a name that leaves the folder is refused", () =>
  withCopy(async (copy) => {
    await copy.edit("quantize_config.json", { model_file_base_name: "../other" });
    const words = ['"model_file_base_name"', "a plain file name", '"../other"'];
    await refused(() => openCheckpoint(copy.dir), "quantize_config.json", ...words);

    await copy.edit("quantize_config.json", { model_file_base_name: "model" });
    const weightMap = await shard(copy);
    for (const file of ["../x.safetensors", "/etc/passwd", "a\\b", "..", "", "a\0b", 7, null]) {
      await writeIndex(copy, { ...weightMap, "lm_head.weight": file });
      await refused(() => openCheckpoint(copy.dir), INDEX, '"lm_head.weight"', "plain name");
    }
  }));

Deno.test("weights: an index that contradicts its shards is refused", () =>
  withCopy(async (copy) => {
    const weightMap = await shard(copy);
    const open = () => openCheckpoint(copy.dir);
    const [name, file] = Object.entries(weightMap)[0]!;
    const other = SHARDS[file === SHARDS[0] ? 1 : 0];

    await writeIndex(copy, { ...weightMap, [name]: other });
    await refused(open, INDEX, name, `in ${other}`, file);
    await writeIndex(copy, { ...weightMap, ghost: file });
    await refused(open, INDEX, '"ghost"', "it in no shard");
    const { [name]: _, ...less } = weightMap;
    await writeIndex(copy, less);
    await refused(open, INDEX, name, "listed", "found nothing");
    await writeIndex(copy, { ...weightMap, [name]: "model-00003-of-00003.safetensors" });
    await refused(open, INDEX, "model-00003-of-00003.safetensors", "no such file");
    for (const nothing of [{}, undefined]) {
      await writeIndex(copy, nothing);
      await refused(open, INDEX, '"weight_map"', "found nothing");
    }
    await writeIndex(copy, "abc");
    await refused(open, INDEX, "weight_map", "a JSON object", '"abc"');

    await writeIndex(copy, { ...weightMap, copy: "copy.safetensors" });
    await Deno.copyFile(copy.path(SHARDS[0]), copy.path("copy.safetensors"));
    await refused(open, "copy.safetensors", "in one shard only", SHARDS[0]);
  }));

Deno.test("weights: a missing or cut shard is refused by name", () =>
  withCopy(async (copy) => {
    await shard(copy);
    const { size } = await Deno.stat(copy.path(SHARDS[1]));
    await Deno.truncate(copy.path(SHARDS[1]), size - 1);
    await refused(() => openCheckpoint(copy.dir), SHARDS[1], `${size} bytes`, "cut short");
    await Deno.remove(copy.path(SHARDS[1]));
    await refused(() => openCheckpoint(copy.dir), INDEX, SHARDS[1], "no such file");
  }));
