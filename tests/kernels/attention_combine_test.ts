import assert from "node:assert/strict";
import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import { attentionCombine } from "../../kernels/attention_combine.ts";
import { poisoned, readFloats, runPass, withGpu } from "../helpers.ts";

// Whole runs of keys, over many shapes, are tested with `attention`; here the numbers are by hand.
Deno.test("attention_combine: a softmax over runs, each weighed by its maximum and weight", () =>
  withGpu(async (gpu) => {
    const log2 = Math.log(2);
    const unused = [NaN, NaN, NaN, NaN, NaN, NaN];
    // (rows, splits, heads, maximum and weight and 4 sums)
    const partial = [
      ...[0, 2, 2, 4, 6, 8], // row 0, run 0, head 0
      ...[-5, 1, 1, 1, 1, 1],
      ...[log2, 1, 5, 0, 0, -1], // row 0, run 1: twice the weight of run 0
      ...[-5, 3, 7, 3, 3, -1],
      ...[100, 4, 4, 8, 12, 16], // row 1 ends in run 0
      ...[-1e30, 0.5, 1, 2, 3, 4],
      ...unused,
      ...unused,
    ];
    const out = poisoned(gpu, "out", 16);
    const combine = (await attentionCombine(gpu, { heads: 2, headDim: 4 })).bind({
      // Runs of 32 keys: position 32 is the first of run 1, position 31 the last of run 0.
      rows: storageFrom(gpu, "rows", new Uint32Array([9, 32, 9, 9, 9, 31, 9, 9])),
      partial: storageFrom(gpu, "partial", new Float32Array(partial)),
      place: storageFrom(gpu, "place", new Uint32Array([7, 6, 5, 4, 0, 1, 2, 3])),
      out,
      step: uniformFrom(gpu, "step", new Uint32Array([32, 2])),
    });
    runPass(gpu, (pass) => combine.dispatch(pass, 2));
    const found = [...await readFloats(gpu, out)];
    const expected = [2, 1, 1, 0, 1.5, 1.5, 1, 3, 2, 4, 6, 8, 4, 3, 2, 1];
    // log 2 in f32, exp and one division: a few units in the last place.
    found.forEach((value, i) => assert(Math.abs(value - expected[i]) < 2e-6, `${i}: ${value}`));
  }));
