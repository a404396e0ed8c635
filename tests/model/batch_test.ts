/**
 * Steps of many sequences at once: their logits at every size of batch, the coarser arithmetic, and
 * the deterministic one, bit for bit.
 */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Falcon, type FalconOptions } from "../../model/falcon.ts";
import { committedGolden, loadGolden, nmse } from "../golden.ts";
import { withGpu } from "../helpers.ts";

/** Around the cuts of the kernels: one row, few, a tile, one more, several tiles. */
const BATCHES = [1, 2, 3, 8, 17, 32, 64];

/** Bound on the NMSE of logits in the accurate arithmetics, and in the one of one byte a number. */
const BOUND = { int16: 1e-5, f16: 1e-5, int8: 2e-3 };

const DIR = committedGolden("q4-g128-act");
const PROMPTS = loadGolden(DIR).prompts.filter(({ ids }) => ids.length <= 64);

/**
 * The logits of the last tokens of `count` sequences, decoded in one step; sequence i is the golden
 * prompt i + `turn`, and its other tokens went before it, `chunk` rows at a time.
 */
async function decodeTogether(
  gpu: Gpu,
  model: Falcon,
  count: number,
  { chunk = 64, turn = 0 } = {},
): Promise<Float32Array[]> {
  const { forward, kv, config: { vocabSize } } = model;
  const run = (rows: Parameters<typeof forward.upload>[0], picks: number[]) => {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    forward.encode(pass, forward.upload(rows, picks));
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  };
  const sequences = Array.from({ length: count }, (_, i) => promptOf(i + turn).ids);
  for (const [slot, ids] of sequences.entries()) {
    kv.release(slot);
    kv.grow(slot, ids.length);
    for (let first = 0; first < ids.length - 1; first += chunk) {
      const part = ids.slice(first, Math.min(first + chunk, ids.length - 1));
      run(part.map((token, i) => ({ token, position: first + i, slot })), []);
    }
  }
  const last = sequences.map((ids, slot) => {
    return { token: ids[ids.length - 1]!, position: ids.length - 1, slot };
  });
  run(last, last.map((_, i) => i));
  const all = new Float32Array(await readOnce(gpu, model.state.logits, count * vocabSize * 4));
  return sequences.map((_, i) => all.slice(i * vocabSize, (i + 1) * vocabSize));
}

function promptOf(i: number) {
  return PROMPTS[i % PROMPTS.length]!;
}

function withModel(
  options: FalconOptions,
  body: (gpu: Gpu, model: Falcon) => Promise<void>,
): Promise<void> {
  const kvBytes = 2 ** 22;
  const slots = 64;
  return withGpu(async (gpu) =>
    body(gpu, await Falcon.load(gpu, DIR, { slots, kvBytes, ...options }))
  );
}

for (const numbers of ["int16", "f16", "int8"] as const) {
  Deno.test(`${numbers} activations: batches of ${BATCHES.join(", ")} keep their logits`, () =>
    withModel({ numbers }, async (gpu, model) => {
      let worst = 0;
      for (const count of BATCHES) {
        for (const [i, logits] of (await decodeTogether(gpu, model, count)).entries()) {
          const error = nmse(logits, promptOf(i).lastLogits);
          assert(error <= BOUND[numbers], `row ${i} of ${count}: NMSE ${error}`);
          worst = Math.max(worst, error);
        }
      }
      // The coarser arithmetic is really taken.
      if (numbers === "int8") assert(worst > BOUND.int16, `NMSE ${worst}`);
    }));
}

Deno.test("deterministic: a row has the same bits alone, in any company, and under any chunking", () =>
  withModel({ deterministic: true }, async (gpu, model) => {
    const alone: Float32Array[] = [];
    for (let i = 0; i < PROMPTS.length; i++) {
      const [logits] = await decodeTogether(gpu, model, 1, { turn: i });
      alone.push(logits!);
    }
    for (const [count, chunk, turn] of [[3, 7, 0], [8, 64, 1], [17, 1, 2], [64, 13, 0]]) {
      const together = await decodeTogether(gpu, model, count!, { chunk: chunk!, turn: turn! });
      for (const [i, logits] of together.entries()) {
        const expected = alone[(i + turn!) % PROMPTS.length];
        assert.deepEqual(
          logits,
          expected,
          `row ${i} of ${count}, ${chunk} rows of prompt at a time`,
        );
      }
    }
  }));
