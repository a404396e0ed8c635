/** The GPU's logits against the golden data and the float64 reference, however they are computed. */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import type { Gpu, GpuOptions } from "../../gpu/device.ts";
import { Falcon, type FalconOptions } from "../../model/falcon.ts";
import { agreedGreedy, committedGolden, goldenDirs, loadGolden, nmse } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { loadReference } from "../reference.ts";
import { type Change, rewriteCheckpoint } from "../rewrite.ts";

/** Bound on the normalised mean square error of logits, on every path. */
const BOUND = 1e-5;

/** Logits after the last of `ids`, computed `chunk` rows at a time, or as many as the model takes. */
async function lastLogits(gpu: Gpu, model: Falcon, ids: number[], chunk: number, start = 0) {
  model.kv.grow(0, start + ids.length);
  const step = Math.min(chunk, model.state.limits.maxRows);
  for (let done = 0; done < ids.length; done += step) {
    const rows = ids.slice(done, done + step)
      .map((token, i) => ({ token, position: start + done + i, slot: 0 }));
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    model.forward.encode(pass, model.forward.upload(rows, [rows.length - 1]));
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  }
  return new Float32Array(await readOnce(gpu, model.state.logits, model.config.vocabSize * 4));
}

function withModel(
  dir: string,
  body: (gpu: Gpu, model: Falcon) => Promise<void>,
  options: FalconOptions = {},
  gpuOptions?: GpuOptions,
) {
  return withGpu(async (gpu) => body(gpu, await Falcon.load(gpu, dir, options)), gpuOptions);
}

for (const dir of goldenDirs()) {
  const golden = loadGolden(dir);
  Deno.test(`${golden.name}: logits agree with the golden ones under any chunking`, () =>
    withModel(dir, async (gpu, model) => {
      for (const { ids, lastLogits: expected } of golden.prompts) {
        const chunks = ids.length > 64 ? [model.state.limits.maxRows, 37] : [64, 1, 7, 9];
        for (const chunk of chunks) {
          model.kv.release(0);
          const error = nmse(await lastLogits(gpu, model, ids, chunk), expected);
          assert(error <= BOUND, `${ids.length} tokens, ${chunk} at a time: NMSE ${error}`);
        }
      }
    }));

  Deno.test(`${golden.name}: greedy decoding repeats the golden tokens`, () =>
    withModel(dir, async (gpu, model) => {
      for (const { ids, greedy, greedyMargin } of golden.prompts) {
        model.kv.release(0);
        let logits = await lastLogits(gpu, model, ids, model.state.limits.maxRows);
        const ours: number[] = [];
        for (let step = 0; step < greedy.length; step++) {
          ours.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
          logits = await lastLogits(gpu, model, ours.slice(-1), 1, ids.length + step);
        }
        agreedGreedy(greedy, greedyMargin, ours);
      }
    }));
}

const IDS = [17, 368, 113, 356, 155, 170, 90, 293, 492, 421, 353, 11];
const seeded = (linear: string, width: number) =>
  Array.from({ length: width }, (_, i) => Math.sin(i * 12.9898 + linear.length) / 8);

const REWRITES: Record<string, { from: string; change: Change }> = {
  "zero bias": { from: "q4-g128-act", change: { bias: "zero" } },
  "no bias": { from: "q4-g128-act", change: { bias: "none" } },
  "non-zero bias": { from: "q4-g128-act", change: { bias: seeded } },
  "non-zero bias, without act-order": { from: "q4-g128-noact-asym", change: { bias: seeded } },
  "three shards": { from: "q4-g64-act", change: { shards: 3 } },
  "gptq_v2": { from: "q4-g64-act", change: { zeros: "gptq_v2" } },
  "bf16 scales": { from: "q4-g128-act", change: { scales: "bf16" } },
  "f32 scales": { from: "q4-g128-act", change: { scales: "f32" } },
  "the head's name alone": { from: "q4-g128-act", change: { head: "lm_head" } },
  "both names, equal": { from: "q4-g128-act", change: { head: "both" } },
  "settings in config.json": { from: "q4-g64-act", change: { settingsInConfig: true } },
  "no g_idx": { from: "q4-g128-noact-asym", change: { groupIndex: "none" } },
  "gptq_model file name": {
    from: "q4-g128-act",
    change: { file: "gptq_model-4bit-128g.safetensors" },
  },
};

for (const [name, { from, change }] of Object.entries(REWRITES)) {
  Deno.test(`${from} rewritten with ${name}: logits agree with the reference`, async () => {
    const dir = await Deno.makeTempDir();
    try {
      await rewriteCheckpoint(committedGolden(from), dir, change);
      const expected = (await loadReference(dir)).forward(IDS, { last: true })[0];
      await withModel(dir, async (gpu, model) => {
        const error = nmse(await lastLogits(gpu, model, IDS, 64), expected);
        assert(error <= BOUND, `NMSE ${error}`);
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}

Deno.test("tensors larger than a binding are split, with the same logits", async () => {
  const dir = committedGolden("q4-g128-act");
  const { ids, lastLogits: expected } = loadGolden(dir).prompts[2];
  await withModel(
    dir,
    async (gpu, model) => {
      assert(model.weights.embedding.length > 1, "the embedding should be split");
      assert(model.weights.layers[0].down.slices.length > 1, "the matrix should be split");
      for (const chunk of [64, 5, 1]) {
        model.kv.release(0);
        const error = nmse(await lastLogits(gpu, model, ids, chunk), expected);
        assert(error <= BOUND, `NMSE ${error}`);
      }
    },
    { maxPositions: 128 },
    { maxBindingBytes: 64 * 1024 },
  );
});

Deno.test("a sequence keeps its logits whichever KV blocks it is given", async () => {
  const dir = committedGolden("q4-g128-act");
  const { ids, lastLogits: expected } = loadGolden(dir).prompts[3];
  await withModel(dir, async (gpu, model) => {
    // Leave holes in the pool, so that slot 0 gets blocks out of order.
    model.kv.grow(1, 40);
    model.kv.grow(2, 70);
    model.kv.release(1);
    const error = nmse(await lastLogits(gpu, model, ids, 31), expected);
    assert(error <= BOUND, `NMSE ${error}`);
  }, { slots: 3 });
});

Deno.test("rows of several sequences share a step", async () => {
  const dir = committedGolden("q4-g64-act");
  const prompts = loadGolden(dir).prompts.slice(0, 3);
  await withModel(dir, async (gpu, model) => {
    const rows = prompts.flatMap(({ ids }, slot) =>
      ids.map((token, position) => ({ token, position, slot }))
    );
    prompts.forEach(({ ids }, slot) => model.kv.grow(slot, ids.length));
    const ends = prompts.map((_, slot) => rows.findLastIndex((row) => row.slot === slot));
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    model.forward.encode(pass, model.forward.upload(rows, ends));
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    const vocab = model.config.vocabSize;
    const bytes = await readOnce(gpu, model.state.logits, ends.length * vocab * 4);
    prompts.forEach(({ lastLogits: expected }, i) => {
      const error = nmse(new Float32Array(bytes, i * vocab * 4, vocab), expected);
      assert(error <= BOUND, `sequence ${i}: NMSE ${error}`);
    });
  }, { slots: 3, kvBytes: 2 ** 20 });
});
