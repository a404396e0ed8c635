/** The kernels that are timed one by one are all that a step consists of. */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import { Falcon } from "../../model/falcon.ts";
import { withGpu } from "../helpers.ts";
import { withSynthetic } from "./synthetic.ts";

Deno.test("forward: with one layer, its parts one after the other compute the step", () =>
  withSynthetic(
    { shape: { hiddenSize: 192, layers: 1, heads: 3, vocabSize: 512 } },
    (dir) =>
      withGpu(async (gpu) => {
        const { forward, state, kv } = await Falcon.load(gpu, dir);
        kv.grow(0, 40);
        for (const count of [1, 20]) {
          const rows = Array.from({ length: count }, (_, i) => ({
            token: (31 * i + count) % 512,
            position: i,
            slot: 0,
          }));
          const logits = async (encode: (encoder: GPUCommandEncoder) => void) => {
            const encoder = gpu.device.createCommandEncoder();
            encode(encoder);
            gpu.device.queue.submit([encoder.finish()]);
            return new Float32Array(await readOnce(gpu, state.logits, 512 * 4));
          };
          const shape = forward.upload(rows, [count - 1]);
          const whole = await logits((encoder) => {
            const pass = encoder.beginComputePass();
            forward.encode(pass, shape);
            pass.end();
          });
          gpu.device.queue.writeBuffer(state.logits, 0, new Float32Array(512));
          const parts = await logits((encoder) => {
            for (const encode of Object.values(forward.parts(shape))) {
              const pass = encoder.beginComputePass();
              encode(pass);
              pass.end();
            }
          });
          assert(whole.some((logit) => logit !== 0));
          assert.deepEqual(parts, whole);
        }
      }),
  ));
