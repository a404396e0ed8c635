/** Models that cannot be loaded, and what a load leaves behind: one clear sentence, and nothing. */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { Falcon } from "../../model/falcon.ts";
import type { LocalEngineOptions } from "../../model/local_engine.ts";
import { committedGolden } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { rewriteCheckpoint } from "../rewrite.ts";
import type { Tensor } from "../safetensors.ts";
import { type Copy, withCopy } from "./checkpoint/damaged.ts";
import { answer, refused, start, withEngine } from "./engine_rig.ts";

/** Asserts that the model is not loaded; the error that says why. */
async function unloadable(options: Partial<LocalEngineOptions>): Promise<Error> {
  const engine = start(options);
  try {
    const error = await engine.ready.then(() => assert.fail("it was loaded"), (error) => error);
    assert(error instanceof Error);
    assert.match(error.message, /^[^\n]+$/, "one line");
    assert.equal(engine.stats().state, "lost");
    await refused(answer(engine), "lost");
    await engine.drain();
    return error;
  } finally {
    await engine.close();
  }
}

/** Damage to a copy of a checkpoint, and words of the sentence that must come of it. */
const DAMAGE: Record<string, { damage: (copy: Copy) => Promise<unknown>; words: string[] }> = {
  "a file that is cut": {
    damage: (copy) => Deno.truncate(copy.path("model.safetensors"), 400_000),
    words: ["model.safetensors"],
  },
  "no weights": {
    damage: (copy) => Deno.remove(copy.path("model.safetensors")),
    words: ["safetensors"],
  },
  "a tensor that is missing": {
    damage: (copy) =>
      copy.editTensors((tensors) => tensors.delete("transformer.h.1.mlp.dense_4h_to_h.qweight")),
    words: ["transformer.h.1.mlp.dense_4h_to_h.qweight"],
  },
  "groups that contradict the group size": {
    damage: (copy) =>
      copy.editTensors((tensors) => {
        const tensor = tensors.get("transformer.h.0.mlp.dense_h_to_4h.g_idx")!;
        new Int32Array(tensor.bytes.buffer).fill(0);
      }),
    words: ["transformer.h.0.mlp.dense_h_to_4h.g_idx", "group"],
  },
  "another model": {
    damage: (copy) => copy.edit("config.json", { model_type: "llama" }),
    words: ["model_type", "llama"],
  },
};

for (const [name, { damage, words }] of Object.entries(DAMAGE)) {
  Deno.test(`load: ${name} is refused as the checkpoint's fault`, () =>
    withCopy(async (copy) => {
      await damage(copy);
      const error = await unloadable({ model: copy.dir });
      assert(error instanceof CheckpointError, `${error}`);
      assert.match(error.message, / should be .*, found .*\.$/);
      for (const word of words) assert(error.message.includes(word), error.message);
    }));
}

Deno.test("load: a folder that is not there is the checkpoint's fault", async () => {
  const error = await unloadable({ model: "no/such/folder" });
  assert(error instanceof CheckpointError);
  assert.match(error.message, /no\/such\/folder/);
});

/** A copy with float32 scales or embedding that hold one value too large for half precision. */
const TOO_LARGE = {
  "transformer.h.0.self_attention.dense.scales": (tensor: Tensor) =>
    new Float32Array(tensor.bytes.buffer)[3] = 1e6,
  "transformer.word_embeddings.weight": (tensor: Tensor) => {
    const values = Float32Array.from(new Float16Array(tensor.bytes.buffer));
    values[5] = -70_000;
    Object.assign(tensor, { dtype: "F32", bytes: new Uint8Array(values.buffer) });
  },
};

for (const [name, change] of Object.entries(TOO_LARGE)) {
  Deno.test(`load: a value of ${name} beyond half precision is named`, () =>
    withCopy(async ({ dir }) => {
      const golden = committedGolden("q4-g128-act");
      await rewriteCheckpoint(golden, dir, {
        scales: "f32",
        head: "word_embeddings",
        edit: (tensors) => void change(tensors.get(name)!),
      });
      const error = await unloadable({ model: dir });
      assert(error instanceof CheckpointError);
      assert.match(
        error.message,
        /model\.safetensors: tensor .*half precision.*(1000000|-70000)\.$/,
      );
      assert(error.message.includes(`"${name}"`));
    }));
}

for (
  const name of ["transformer.h.1.mlp.dense_4h_to_h.scales", "transformer.h.0.input_layernorm.bias"]
) {
  Deno.test(`load: NaN in ${name} is named`, () =>
    withCopy(async ({ dir }) => {
      await rewriteCheckpoint(committedGolden("q4-g128-act"), dir, {
        edit: (tensors) => void tensors.get(name)!.bytes.set([0, 0x7e]), // NaN in half precision
      });
      const error = await unloadable({ model: dir });
      assert(error instanceof CheckpointError);
      assert.match(error.message, /model\.safetensors: tensor .* should be .*, found NaN\.$/);
      assert(error.message.includes(`"${name}"`));
    }));
}

Deno.test("load: what the GPU cannot hold is refused with the numbers", async () => {
  const onProgress = () => assert.fail("weights were read before it was checked");
  for (const kvBytes of [2 ** 37, Number.MAX_SAFE_INTEGER]) {
    const error = await unloadable({ kvBytes, onProgress });
    assert(!(error instanceof CheckpointError));
    assert.match(error.message, /KV cache of at most \d+ bytes, \d+ were asked for/);
  }
  for (const maxBindingBytes of [1, 1000]) {
    const { message } = await unloadable({ maxBindingBytes });
    assert.match(message, /query_key_value has 1280 bytes, which do not fit a binding of \d+/);
  }
});

Deno.test("load: it tells how far it is, and ends at the end", async () => {
  const seen: { stage: string; done: number; total: number }[] = [];
  await withEngine({ onProgress: (progress) => seen.push(progress) }, () => Promise.resolve());
  assert(seen.length > 2);
  seen.forEach(({ stage, done, total }, i) => {
    assert.equal(stage, "weights");
    assert(done >= (seen[i - 1]?.done ?? 0) && done <= total);
  });
  const { done, total } = seen.at(-1)!;
  assert.equal(done, total);
});

Deno.test("load: weights whose logits overflow fail each request, and nothing else", () =>
  withCopy(async (copy) => {
    await copy.editTensors((tensors) => {
      const tensor = tensors.get("transformer.ln_f.weight")!;
      const values = new Float32Array(tensor.bytes.byteLength / 2).fill(3e38);
      Object.assign(tensor, { dtype: "F32", bytes: new Uint8Array(values.buffer) });
    });
    await withEngine({ model: copy.dir }, async (engine) => {
      for (let n = 0; n < 2; n++) {
        assert.match(await refused(answer(engine), "failed"), /not a number/);
      }
      const { state, running, blocksUsed } = engine.stats();
      assert.deepEqual([state, running, blocksUsed], ["ready", 0, 0]);
    });
  }));

/** Labels of the buffers alive, noted as they are made and freed. */
function watchBuffers(gpu: Gpu): Map<GPUBuffer, string> {
  const alive = new Map<GPUBuffer, string>();
  const { createBuffer, freeBuffer } = gpu;
  gpu.createBuffer = (label, ...rest) => {
    const buffer = createBuffer.call(gpu, label, ...rest);
    alive.set(buffer, label);
    return buffer;
  };
  gpu.freeBuffer = (buffer) => {
    alive.delete(buffer);
    freeBuffer.call(gpu, buffer);
  };
  return alive;
}

Deno.test("load: no buffer that only loading needs is left", () =>
  withGpu(async (gpu) => {
    const alive = watchBuffers(gpu);
    const { weights } = await Falcon.load(gpu, committedGolden("q4-g128-act"));
    const bytes = alive.keys().reduce((sum, buffer) => sum + buffer.size, 0);
    assert.equal(gpu.allocatedBytes, bytes);
    const labels = [...alive.values()];
    for (const temporary of ["staged", "act-order", "columns", "upload", "probe", "read once"]) {
      assert.deepEqual(labels.filter((label) => label.includes(temporary)), []);
    }
    // 192 outputs of 768 inputs of 4 bits.
    assert.equal(weights.layers[0]!.down.slices[0]!.range.size, 192 * 768 / 2);
  }));
