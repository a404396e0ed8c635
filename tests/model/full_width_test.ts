/** One layer as wide as Falcon-7B, which no golden case is: K = 4544 and 18176, 65024 logits. */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import { Falcon } from "../../model/falcon.ts";
import { SHAPES, writeSynthetic } from "../../model/synth.ts";
import { nmse } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { loadReference } from "../reference.ts";

/** Enough rows for the kernels of prefill, few enough for those of decode. */
const PROMPTS = [
  [64000],
  [5, 300, 64999, 193, 70],
  [...Array(11).keys()].map((i) => 1000 + 5000 * i),
];

for (
  const { bits, groupSize } of [{ bits: 4, groupSize: 128 }, { bits: 8, groupSize: 0 }] as const
) {
  Deno.test(`full width, ${bits} bits, group ${groupSize || "none"}: logits agree with the reference`, async () => {
    const dir = await Deno.makeTempDir();
    try {
      const shape = { ...SHAPES["falcon-7b"], layers: 1 };
      await writeSynthetic(dir, {
        shape,
        bits,
        groupSize,
        actOrder: true,
        seed: 7,
        tokenizer: false,
      });
      const reference = await loadReference(dir);
      await withGpu(async (gpu) => {
        const model = await Falcon.load(gpu, dir);
        for (const ids of PROMPTS) {
          model.kv.release(0);
          model.kv.grow(0, ids.length);
          const encoder = gpu.device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          const rows = ids.map((token, position) => ({ token, position, slot: 0 }));
          model.forward.encode(pass, model.forward.upload(rows, [rows.length - 1]));
          pass.end();
          gpu.device.queue.submit([encoder.finish()]);
          const vocab = model.config.vocabSize;
          const logits = new Float32Array(await readOnce(gpu, model.state.logits, vocab * 4));
          const error = nmse(logits, reference.forward(ids, { last: true })[0]);
          assert(error <= 1e-5, `${ids.length} tokens: NMSE ${error}`);
        }
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
