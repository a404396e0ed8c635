import assert from "node:assert/strict";
import { openCheckpoint } from "../../../model/checkpoint/checkpoint.ts";
import { type FalconTensors, findFalconTensors } from "../../../model/checkpoint/falcon_tensors.ts";
import { goldenDirs } from "../../golden.ts";
import type { Tensor } from "../../safetensors.ts";
import { refused, withCopy, zeros } from "./damaged.ts";

const EMBEDDING = "transformer.word_embeddings.weight";
const HEAD = "lm_head.weight";
const QKV = "transformer.h.0.self_attention.query_key_value";
const DOWN = "transformer.h.1.mlp.dense_4h_to_h";

async function find(dir: string): Promise<FalconTensors> {
  const checkpoint = await openCheckpoint(dir);
  try {
    return await findFalconTensors(checkpoint);
  } finally {
    checkpoint.close();
  }
}

/** Copies q4-g128-act, changes its tensors, and hands over a function that looks for them. */
function withTensors(
  change: (tensors: Map<string, Tensor>) => void,
  body: (find: () => Promise<FalconTensors>) => Promise<void>,
): Promise<void> {
  return withCopy(async (copy) => {
    await copy.editTensors(change);
    await body(() => find(copy.dir));
  });
}

Deno.test("tensors: goldens are complete", async () => {
  for (const dir of goldenDirs()) {
    const { layers, embedding } = await find(dir);
    assert(layers.length > 0);
    const [, hidden] = embedding.shape;
    for (const { qkv, dense, up, down } of layers) {
      assert.deepEqual([dense.inFeatures, dense.outFeatures], [hidden, hidden]);
      assert.deepEqual([up.inFeatures, up.outFeatures], [hidden, down.inFeatures]);
      for (const linear of [qkv, dense, up, down]) {
        assert.equal(linear.groups, linear.scales.shape[0]);
        assert.equal(linear.outFeatures, linear.qweight.shape[1]);
      }
    }
  }
});

Deno.test("tensors: names and shapes of q4-g128-act", () =>
  withCopy(async (copy) => {
    const { layers, finalNorm, embedding } = await find(copy.dir);
    assert.equal(layers.length, 2);
    assert.equal(embedding.name, EMBEDDING);
    assert.deepEqual(embedding.shape, [512, 192]);
    assert.equal(finalNorm.bias.name, "transformer.ln_f.bias");
    const { name, inFeatures, outFeatures, groups, qweight, qzeros, scales, gIdx, bias } =
      layers[0]!.qkv;
    // 3 query heads, a key and a value of 64; 1.5 groups of 128 are 2; 8 values in a word.
    assert.deepEqual([name, inFeatures, outFeatures, groups], [QKV, 192, 320, 2]);
    assert.deepEqual(
      [qweight.shape, qzeros.shape, scales.shape, gIdx?.shape, bias],
      [[24, 320], [2, 40], [2, 320], [192], undefined],
    );
    assert.equal(layers[1]!.down.name, DOWN);
    assert.equal(layers[1]!.norm.weight.name, "transformer.h.1.input_layernorm.weight");
  }));

Deno.test("tensors: one embedding under either name", async () => {
  for (const [gone, kept] of [[EMBEDDING, HEAD], [HEAD, EMBEDDING]] as const) {
    await withTensors((tensors) => tensors.delete(gone), async (find) => {
      assert.equal((await find()).embedding.name, kept);
    });
  }
  await withTensors((tensors) => {
    tensors.delete(EMBEDDING);
    tensors.delete(HEAD);
  }, (find) => refused(find, EMBEDDING, "F16, BF16 or F32 of shape (512, 192)", "no such tensor"));
});

Deno.test("tensors: a head that differs in one byte is refused by name", async () => {
  for (const at of [0, 100_001, 512 * 192 * 2 - 1]) {
    await withTensors(
      (tensors) => tensors.get(HEAD)!.bytes[at]! ^= 1,
      (find) => refused(find, "model.safetensors", HEAD, EMBEDDING, "untied", "other values"),
    );
  }
  // The same bytes mean other values in another format.
  await withTensors(
    (tensors) => tensors.set(HEAD, { ...tensors.get(EMBEDDING)!, dtype: "BF16" }),
    (find) => refused(find, HEAD, EMBEDDING, "other values"),
  );
  await withTensors(
    (tensors) => tensors.set(HEAD, zeros("F32", 512, 192)),
    (find) => refused(find, HEAD, EMBEDDING, "other values"),
  );
  await withTensors(
    (tensors) => tensors.set("lm_head.qweight", zeros("I32", 24, 512)),
    (find) => refused(find, "the head", "lm_head.qweight"),
  );
});

Deno.test("tensors: biases and extra tensors", () =>
  withTensors((tensors) => {
    tensors.set(`${QKV}.bias`, zeros("F16", 320));
    tensors.set("transformer.h.0.self_attention.rotary_emb.inv_freq", zeros("F32", 32));
    for (const [name, tensor] of tensors) {
      if (!name.endsWith("scales")) continue;
      const [groups, outputs] = tensor.shape as [number, number];
      tensors.set(name, zeros("F32", groups, outputs));
    }
  }, async (find) => {
    const { layers } = await find();
    assert.equal(layers[0]!.qkv.bias?.name, `${QKV}.bias`);
    assert.equal(layers[0]!.qkv.scales.dtype, "F32");
    assert.equal(layers[1]!.qkv.bias, undefined);
  }));

Deno.test("tensors: every missing tensor is refused by name", () =>
  withCopy(async (copy) => {
    const all = await copy.tensors();
    for (const name of all.keys()) {
      if (name === EMBEDDING || name === HEAD || name.startsWith("transformer.h.1.")) continue;
      await copy.editTensors((tensors) => {
        for (const [each, tensor] of all) tensors.set(each, tensor);
        tensors.delete(name);
      });
      await refused(() => find(copy.dir), copy.dir, `"${name}"`, "of shape", "no such tensor");
    }
  }));

Deno.test("tensors: a wrong shape or dtype is refused with both", async () => {
  const cases: [name: string, tensor: Tensor, ...words: string[]][] = [
    [`${QKV}.qweight`, zeros("I32", 48, 320), "I32 of shape (24, 320)", "I32 of shape (48, 320)"],
    [`${QKV}.qweight`, zeros("F32", 24, 320), "found F32 of shape (24, 320)"],
    [`${QKV}.qzeros`, zeros("I32", 1, 40), "(2, 40)", "(1, 40)"],
    [`${QKV}.scales`, zeros("F16", 2, 312), "F16, BF16 or F32 of shape (2, 320)", "(2, 312)"],
    [`${QKV}.g_idx`, zeros("I32", 191), "(192)", "(191)"],
    [`${QKV}.bias`, zeros("F16", 1, 320), "(320)", "(1, 320)"],
    [`${DOWN}.scales`, zeros("I32", 6, 192), "found I32"],
    ["transformer.ln_f.weight", zeros("F16", 193), "(192)", "(193)"],
    ["transformer.h.1.input_layernorm.bias", zeros("I32", 192), "found I32"],
    [EMBEDDING, zeros("F16", 511, 192), "512 rows", '"vocab_size"', "(511, 192)"],
    [EMBEDDING, zeros("F16", 512, 128), "(512, 192)", "(512, 128)"],
    [HEAD, zeros("F16", 600, 192), "512 rows", "(600, 192)"],
  ];
  for (const [name, tensor, ...words] of cases) {
    await withTensors(
      (tensors) => tensors.set(name, tensor),
      (find) => refused(find, "model.safetensors", `"${name}"`, ...words),
    );
  }
});

Deno.test("tensors: settings that contradict the tensors are refused", () =>
  withCopy(async (copy) => {
    const config = await copy.json("config.json");
    const quantization = await copy.json("quantize_config.json");
    const attempt = async (
      file: "config.json" | "quantize_config.json",
      changes: Record<string, unknown>,
      ...words: string[]
    ) => {
      await copy.writeJson("config.json", config);
      await copy.writeJson("quantize_config.json", quantization);
      await copy.edit(file, changes);
      await refused(() => find(copy.dir), ...words);
    };
    await attempt("config.json", { num_hidden_layers: 3 }, '"transformer.h.2.', "no such tensor");
    await attempt("config.json", { num_hidden_layers: 1 }, '"num_hidden_layers" is 1', "h.1.");
    await attempt("config.json", { vocab_size: 500 }, '"vocab_size"', "500 rows", "(512, 192)");
    await attempt("config.json", { hidden_size: 384 }, "(384)", "(192)");
    await attempt("config.json", { num_attention_heads: 6 }, "qweight", "(24, 256)", "(24, 320)");
    await attempt("config.json", { ffn_hidden_size: 800 }, "dense_h_to_4h", "(24, 800)");
    await attempt("config.json", { bias: true }, `"${QKV}.bias"`, "no such tensor");
    await attempt("quantize_config.json", { bits: 8 }, "qweight", "(48, 320)", "(24, 320)");
    await attempt("quantize_config.json", { group_size: 64 }, "qzeros", "(3, 40)", "(2, 40)");
    await attempt("quantize_config.json", { group_size: -1 }, "qzeros", "(1, 40)", "(2, 40)");
  }));

Deno.test("tensors: g_idx may be absent only without act-order", () =>
  withCopy(async (copy) => {
    await copy.editTensors((tensors) => {
      for (const name of tensors.keys()) if (name.endsWith("g_idx")) tensors.delete(name);
    });
    await refused(() => find(copy.dir), `"${QKV}.g_idx"`, "I32 of shape (192)", "no such tensor");
    await copy.edit("quantize_config.json", { desc_act: false });
    assert.equal((await find(copy.dir)).layers[0]!.qkv.gIdx, undefined);
  }));
