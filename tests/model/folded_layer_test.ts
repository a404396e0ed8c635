/** A row through folded layers against the same row through single kernels, at several contexts. */
import assert from "node:assert/strict";
import type { GpuOptions } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { Falcon } from "../../model/falcon.ts";
import { assertNmse, withGpu } from "../helpers.ts";
import { withSynthetic } from "./synthetic.ts";

const VOCAB = 512;
/** Keys before the row: none, a few, and more than one run of them; a run knows no bits. */
const CONTEXTS = { 4: [0, 1, 33, 1025], 8: [0, 1, 33] };
/** Rows of a step in between: as many as both GPUs take, and such that none is left alone. */
const ROWS = 16;
/** As golden logits may differ from those of any path. */
const BOUND = 1e-5;

/** The kernels of a row's layers, and its logits behind each context. */
async function rowLogits(dir: string, contexts: number[], gpuOptions?: GpuOptions) {
  let kernels: string[] = [];
  const logits: Float32Array[] = [];
  await withGpu(async (gpu) => {
    const { forward, state, kv } = await Falcon.load(gpu, dir);
    kv.grow(0, Math.max(...contexts) + 1);
    const token = (position: number) => 31 * position % VOCAB;
    const step = (from: number, to: number) => {
      const rows = Array.from({ length: to - from }, (_, i) => ({
        token: token(from + i),
        position: from + i,
        slot: 0,
      }));
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const shape = forward.upload(rows, [rows.length - 1]);
      forward.encode(pass, shape);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      return shape;
    };
    let done = 0;
    for (const context of contexts) {
      for (; done < context; done = Math.min(done + ROWS, context)) {
        step(done, Math.min(done + ROWS, context));
      }
      const shape = step(context, context + 1);
      done = context + 1;
      kernels = Object.keys(forward.parts(shape));
      logits.push(new Float32Array(await readOnce(gpu, state.logits, VOCAB * 4)));
    }
  }, gpuOptions);
  return { kernels, logits };
}

for (const bits of [4, 8] as const) {
  Deno.test(`folded layers: ${bits} bits, the logits of the kernels they are folded from`, () =>
    withSynthetic(
      { shape: { hiddenSize: 192, layers: 2, heads: 3, vocabSize: VOCAB }, bits },
      async (dir) => {
        const contexts = CONTEXTS[bits];
        const folded = await rowLogits(dir, contexts);
        // In slices, which folded layers cannot read.
        const single = await rowLogits(dir, contexts, { maxBindingBytes: 64 * 1024 });
        assert(folded.kernels.includes("norm_qkv_up"), `${folded.kernels}`);
        assert(single.kernels.includes("attention_combine"), `${single.kernels}`);
        for (const [i, context] of contexts.entries()) {
          assertNmse(folded.logits[i], single.logits[i], BOUND, `behind ${context} keys`);
        }
      },
    ));
}
