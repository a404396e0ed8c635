/**
 * Whole layers in one dispatch, against Hugging Face's logits and the float64 reference: one token a
 * step, so that every key of every prompt went through the kernel too.
 *
 * One workgroup computes everything here; several at once need a GPU, where a model's loading
 * compares both paths.
 */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Falcon } from "../../model/falcon.ts";
import { cannotDecodeLayers } from "../../kernels/decode_layers.ts";
import { agreedGreedy, committedGolden, goldenDirs, loadGolden, nmse } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { loadReference } from "../reference.ts";
import { rewriteCheckpoint } from "../rewrite.ts";

const BOUND = 1e-5;

async function step(gpu: Gpu, model: Falcon, token: number, position: number) {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  model.forward.encode(pass, model.forward.upload([{ token, position, slot: 0 }], [0]));
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  return new Float32Array(await readOnce(gpu, model.state.logits, model.config.vocabSize * 4));
}

async function lastLogits(gpu: Gpu, model: Falcon, ids: readonly number[]) {
  model.kv.release(0);
  model.kv.grow(0, ids.length + 16);
  let logits = new Float32Array();
  for (const [position, id] of ids.entries()) logits = await step(gpu, model, id, position);
  return logits;
}

function best(logits: Float32Array): number {
  return logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
}

for (const dir of goldenDirs()) {
  const golden = loadGolden(dir);
  Deno.test(`${golden.name}: the persistent path agrees with the golden logits and tokens`, () =>
    withGpu(async (gpu) => {
      const model = await Falcon.load(gpu, dir, { path: "persistent" });
      assert.equal(model.path.name, "persistent");
      for (const { ids, lastLogits: expected, greedy, greedyMargin } of golden.prompts) {
        let logits = await lastLogits(gpu, model, ids);
        const error = nmse(logits, expected);
        assert(error <= BOUND, `${ids.length} tokens: NMSE ${error}`);
        const ours: number[] = [];
        for (let i = 0; i < greedy.length; i++) {
          ours.push(best(logits));
          logits = await step(gpu, model, ours[i], ids.length + i);
        }
        agreedGreedy(greedy, greedyMargin, ours);
      }
    }));
}

Deno.test("the persistent path adds every bias", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const bias = (linear: string, width: number) =>
      Array.from({ length: width }, (_, i) => Math.sin(i * 12.9898 + linear.length) / 8);
    await rewriteCheckpoint(committedGolden("q4-g128-act"), dir, { bias });
    const ids = [17, 368, 113, 356, 155, 170, 90];
    const expected = (await loadReference(dir)).forward(ids, { last: true })[0];
    await withGpu(async (gpu) => {
      const model = await Falcon.load(gpu, dir, { path: "persistent" });
      const error = nmse(await lastLogits(gpu, model, ids), expected);
      assert(error <= BOUND, `NMSE ${error}`);
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("what it was not written for is said by name", () =>
  withGpu((gpu) => {
    const shape = { hidden: 192, ffn: 768, headDim: 64 };
    assert.equal(cannotDecodeLayers(gpu, shape), undefined);
    assert.match(cannotDecodeLayers(gpu, { ...shape, headDim: 96 })!, /96 dimensions, not 64/);
    assert.match(cannotDecodeLayers(gpu, { ...shape, hidden: 64 * 1000 })!, /too long/);
    assert.match(cannotDecodeLayers(gpu, { ...shape, ffn: 800 })!, /multiples of 32 and 64/);
    assert.match(cannotDecodeLayers({ ...gpu, coherent: false }, shape)!, /coherent/);
    return Promise.resolve();
  }));
