/**
 * Synthetic checkpoints: their files held against golden folders, the model card and the loader.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../model/checkpoint/checkpoint.ts";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { findFalconTensors } from "../../model/checkpoint/falcon_tensors.ts";
import {
  planShards,
  safetensorsHeader,
  tensorBytes,
} from "../../model/checkpoint/safetensors_writer.ts";
import { SHAPES, type SynthOptions, writeSynthetic } from "../../model/synth.ts";
import { syntheticTensors } from "../../model/synth_tensors.ts";
import { committedGolden } from "../golden.ts";
import { readSafetensors, type Tensor } from "../safetensors.ts";
import { BRANCHES, OPTIONS, readAll, withSynthetic } from "./synthetic.ts";

function shapes(tensors: Map<string, Tensor>): Record<string, string> {
  const entries = [...tensors].map(([name, { dtype, shape }]) => [name, `${dtype} ${shape}`]);
  return Object.fromEntries(entries.sort());
}

for (const name of ["q4-g128-act", "q4-g128-noact-asym"]) {
  Deno.test(`a synthetic checkpoint has the tensors and settings of ${name}`, async () => {
    const dir = committedGolden(name);
    const config = JSON.parse(await Deno.readTextFile(join(dir, "config.json")));
    const quantization = JSON.parse(await Deno.readTextFile(join(dir, "quantize_config.json")));
    const expected = await readSafetensors(join(dir, "model.safetensors"));
    // Claire's files hold the embedding once.
    expected.delete("lm_head.weight");
    const options: Partial<SynthOptions> = {
      shape: {
        hiddenSize: config.hidden_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        vocabSize: config.vocab_size,
      },
      bits: quantization.bits,
      groupSize: Math.max(0, quantization.group_size),
      actOrder: quantization.desc_act,
      symmetric: quantization.sym,
    };
    await withSynthetic(options, async (written) => {
      assert.deepEqual(shapes(await readAll(written)), shapes(expected));
      for (const [name, theirs] of [["config", config], ["quantize_config", quantization]]) {
        const ours = JSON.parse(await Deno.readTextFile(join(written, `${name}.json`)));
        for (const key of Object.keys(theirs)) {
          if (key !== "initializer_range") assert.deepEqual(ours[key], theirs[key], key);
        }
      }
    });
  });
}

for (const { bits, groupSize, groups } of BRANCHES) {
  Deno.test(`the loader accepts ${bits} bits, groups of ${groupSize || "all"}`, async () => {
    for (const symmetric of [true, false]) {
      const options = { bits, groupSize, symmetric, bias: !symmetric, actOrder: symmetric };
      await withSynthetic(options, async (dir) => {
        const checkpoint = await openCheckpoint(dir);
        try {
          assert.deepEqual(
            { ...checkpoint.quantization },
            { bits, groupSize, actOrder: symmetric, symmetric, zeroOffset: 1 },
          );
          const { layers } = await findFalconTensors(checkpoint);
          assert.deepEqual(layers.map((layer) => layer.down.groups), [groups[1], groups[1]]);
          assert.equal(layers[0]!.up.bias === undefined, symmetric);
        } finally {
          checkpoint.close();
        }
      });
    }
  });
}

Deno.test("equal seeds give equal tensors, in one file or many", async () => {
  await withSynthetic({}, async (dir) => {
    const expected = await readAll(dir);
    await withSynthetic({ shardBytes: 200_000 }, async (sharded) => {
      const files = [...Deno.readDirSync(sharded)].map((entry) => entry.name);
      assert.ok(!files.includes("model.safetensors"));
      const index = JSON.parse(
        await Deno.readTextFile(join(sharded, "model.safetensors.index.json")),
      );
      const names = Object.keys(index.weight_map);
      assert.deepEqual(names, [...expected.keys()].sort());
      const bytes = [...expected.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
      assert.equal(index.metadata.total_size, bytes);
      const shards = [...new Set(Object.values<string>(index.weight_map))].sort();
      const count = String(shards.length).padStart(5, "0");
      assert.deepEqual(
        shards,
        shards.map((_, i) => `model-${String(i + 1).padStart(5, "0")}-of-${count}.safetensors`),
      );
      assert.deepEqual(shards, files.filter((name) => name.endsWith(".safetensors")).sort());
      for (const file of shards) {
        const tensors = await readSafetensors(join(sharded, file));
        const size = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
        assert.ok(size <= 200_000 || tensors.size === 1, file);
        for (const [name, tensor] of tensors) {
          assert.equal(index.weight_map[name], file);
          assert.deepEqual(tensor, expected.get(name));
        }
      }
      const checkpoint = await openCheckpoint(sharded);
      await findFalconTensors(checkpoint);
      checkpoint.close();
    });
    await withSynthetic({ seed: 2 }, async (other) => {
      for (const [name, { bytes }] of await readAll(other)) {
        if (!name.endsWith("qzeros")) assert.notDeepEqual(bytes, expected.get(name)!.bytes, name);
      }
    });
    const [first, second] = [0, 1].map((layer) =>
      expected.get(`transformer.h.${layer}.mlp.dense_h_to_4h.qweight`)!
    );
    assert.notDeepEqual(first, second);
  });
});

Deno.test("the full shape makes files as large as the model card prints", () => {
  const gigabytes = BRANCHES.map(({ bits, groupSize }) => {
    // Transformers wrote Claire's files: zeros as biases, and shards of 5 GB.
    const model = { ...OPTIONS, shape: SHAPES["falcon-7b"]!, bits, groupSize, bias: true };
    const shards = planShards(syntheticTensors(model), 5e9);
    const sizes = shards.map(({ tensors }) =>
      tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), safetensorsHeader(tensors).length)
    );
    return sizes.map((size) => (size / 1e9).toFixed(2));
  });
  assert.deepEqual(gigabytes.map(([first]) => first), [
    "4.04",
    "4.17",
    "4.43",
    "4.99",
    "4.96",
    "4.94",
  ]);
  assert.deepEqual(gigabytes.map((sizes) => sizes.length), [1, 1, 1, 2, 2, 2]);
});

Deno.test("the tokenizer is written on request", () =>
  withSynthetic({ tokenizer: true }, async (dir) => {
    const { model } = JSON.parse(await Deno.readTextFile(join(dir, "tokenizer.json")));
    assert.equal(Object.keys(model.vocab).length, 512);
  }));

Deno.test("progress counts every byte of data", async () => {
  const dir = await Deno.makeTempDir();
  const seen: number[] = [];
  let total = 0;
  await writeSynthetic(dir, OPTIONS, (done, all) => {
    seen.push(done);
    total = all;
  });
  const tensors = await readAll(dir);
  await Deno.remove(dir, { recursive: true });
  assert.equal(total, [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0));
  assert.equal(seen.at(-1), total);
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
});

Deno.test("what no Falcon has is refused before anything is written", async () => {
  const dir = await Deno.makeTempDir();
  const shape = OPTIONS.shape;
  const wrong: [Partial<SynthOptions>, RegExp][] = [
    [{ shape: { ...shape, heads: 5 } }, /5 heads, found 192/],
    [{ shape: { ...shape, hiddenSize: 200, heads: 1 } }, /found 200/],
    [{ shape: { ...shape, layers: 0 } }, /num_hidden_layers.* found 0/],
    [{ groupSize: 48 }, /group_size.* found 48/],
    [{ shape: { ...shape, vocabSize: 100 }, tokenizer: true }, /at least 268, found 100/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(writeSynthetic(dir, { ...OPTIONS, ...options }), (error: Error) => {
      assert.ok(error instanceof CheckpointError || error instanceof RangeError);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.deepEqual([...Deno.readDirSync(dir)], []);
  await Deno.remove(dir);
});
