/** Every lossless rewrite leaves the reference's logits exactly as they were. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { committedGolden, loadGolden, nmse } from "./golden.ts";
import { loadReference } from "./reference.ts";
import { type Change, rewriteCheckpoint } from "./rewrite.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";

const actOrder = committedGolden("q4-g128-act");
const inOrder = committedGolden("q4-g128-noact-asym");
const { ids } = loadGolden(actOrder).prompts[1]!;

/** The last position's logits of `ids`, with the folder rewritten first. */
async function logitsOf(dir: string, change: Change, inspect?: (dir: string) => void) {
  const toDir = await Deno.makeTempDir();
  try {
    await rewriteCheckpoint(dir, toDir, change);
    inspect?.(toDir);
    const reference = await loadReference(toDir);
    return reference.forward(ids, { last: true })[0]!;
  } finally {
    await Deno.remove(toDir, { recursive: true });
  }
}

async function originalLogits(dir: string) {
  return (await loadReference(dir)).forward(ids, { last: true })[0]!;
}

function filesIn(dir: string): string[] {
  return Array.from(Deno.readDirSync(dir), ({ name }) => name).sort();
}

const plain = ["config.json", "golden.json", "quantize_config.json"];
const lossless: { name: string; dir: string; change: Change; files?: string[] }[] = [
  { name: "nothing changed", dir: actOrder, change: {} },
  { name: "zero biases", dir: actOrder, change: { bias: "zero" } },
  { name: "biases dropped", dir: actOrder, change: { bias: "none" } },
  {
    name: "three shards",
    dir: actOrder,
    change: { shards: 3 },
    files: [
      "config.json",
      "golden.json",
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
      "quantize_config.json",
    ],
  },
  { name: "gptq_v2 zeros", dir: actOrder, change: { zeros: "gptq_v2" } },
  { name: "float32 scales", dir: actOrder, change: { scales: "f32" } },
  { name: "no g_idx", dir: inOrder, change: { groupIndex: "none" } },
  { name: "only word_embeddings", dir: actOrder, change: { head: "word_embeddings" } },
  { name: "only lm_head", dir: actOrder, change: { head: "lm_head" } },
  { name: "both head names", dir: actOrder, change: { head: "both" } },
  {
    name: "settings in config.json",
    dir: actOrder,
    change: { settingsInConfig: true },
    files: ["config.json", "golden.json", "model.safetensors"],
  },
  {
    name: "AutoGPTQ's file name",
    dir: actOrder,
    change: { file: "gptq_model-4bit-128g.safetensors" },
    files: [plain[0]!, plain[1]!, "gptq_model-4bit-128g.safetensors", plain[2]!],
  },
  {
    name: "the field names of older files",
    dir: inOrder,
    change: { // undefined fields are left out of the file
      config: {
        num_hidden_layers: undefined,
        num_attention_heads: undefined,
        n_layer: 2,
        n_head: 3,
      },
      quantization: { bits: undefined, group_size: undefined, w_bit: 4, q_group_size: 128 },
      groupIndex: "none",
    },
  },
  {
    name: "everything at once",
    dir: actOrder,
    change: { bias: "zero", shards: 2, zeros: "gptq_v2", head: "lm_head", settingsInConfig: true },
  },
];

for (const { name, dir, change, files } of lossless) {
  Deno.test(`rewrite: ${name} keeps the logits`, async () => {
    const rewritten = await logitsOf(dir, change, (toDir) => {
      if (files) assert.deepEqual(filesIn(toDir), files);
    });
    assert.deepEqual(rewritten, await originalLogits(dir));
  });
}

Deno.test("rewrite: bf16 scales equal the same values stored as F16", async () => {
  const bf16 = await logitsOf(actOrder, { scales: "bf16" });
  assert.deepEqual(bf16, await logitsOf(actOrder, { scales: "bf16 in f16" }));
  const error = nmse(bf16, await originalLogits(actOrder));
  assert(error > 1e-8 && error < 1e-2, `rounding to bf16 changed the logits by ${error}`);
});

Deno.test("rewrite: biases are added where they belong", async () => {
  // The residual takes dense + dense_4h_to_h, so opposite biases there cancel.
  const sign = (name: string) =>
    name.endsWith("_4h_to_h") ? -1 : name.endsWith("attention.dense") ? 1 : 0;
  const bias = (name: string, width: number) =>
    Array.from({ length: width }, (_, i) => sign(name) * ((i % 7) - 3) / 8);
  const original = await originalLogits(actOrder);
  assert(nmse(await logitsOf(actOrder, { bias }), original) < 1e-24);
  for (const linear of ["query_key_value", "attention.dense", "_h_to_4h", "_4h_to_h"]) {
    const one = (name: string, width: number) =>
      Array.from({ length: width }, (_, i) => name.endsWith(linear) ? (i % 7 - 3) / 8 : 0);
    assert(nmse(await logitsOf(actOrder, { bias: one }), original) > 1e-6, linear);
  }
});

Deno.test("rewrite: what would lose something is refused", async () => {
  const toDir = await Deno.makeTempDir();
  try {
    const source = join(toDir, "source");
    await rewriteCheckpoint(inOrder, source, {
      edit: (tensors) => tensors.get("transformer.h.1.mlp.dense_h_to_4h.qzeros")!.bytes[5] = 0xf0,
    });
    await assert.rejects(
      rewriteCheckpoint(source, join(toDir, "v2"), { zeros: "gptq_v2" }),
      /a stored zero of 15 has no gptq_v2 form/,
    );
    await rewriteCheckpoint(actOrder, join(toDir, "untied"), {
      edit: (tensors) => {
        const head = tensors.get("lm_head.weight")!;
        tensors.set("lm_head.weight", { ...head, bytes: head.bytes.map((byte) => byte ^ 1) });
      },
    });
    await assert.rejects(loadReference(join(toDir, "untied")), /lm_head.weight differs/);
  } finally {
    await Deno.remove(toDir, { recursive: true });
  }
});

Deno.test("safetensors: a written file has the layout of the specification", async () => {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    await writeSafetensors(
      path,
      new Map([
        ["half", { dtype: "F16", shape: [3], bytes: Uint8Array.of(0, 0x3c, 0, 0x40, 0, 0xc0) }],
        ["word", { dtype: "I32", shape: [1, 1], bytes: Uint8Array.of(1, 2, 3, 4) }],
      ]),
    );
    const bytes = await Deno.readFile(path);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    assert.equal(length % 8, 0);
    assert.equal(bytes.length, 8 + length + 10);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))), {
      __metadata__: { format: "pt" },
      word: { dtype: "I32", shape: [1, 1], data_offsets: [0, 4] },
      half: { dtype: "F16", shape: [3], data_offsets: [4, 10] },
    });
    assert.deepEqual([...bytes.subarray(8 + length)], [1, 2, 3, 4, 0, 0x3c, 0, 0x40, 0, 0xc0]);
    const { bytes: word } = (await readSafetensors(path)).get("word")!;
    assert.deepEqual([...word], [1, 2, 3, 4]);
  } finally {
    await Deno.remove(path);
  }
});
