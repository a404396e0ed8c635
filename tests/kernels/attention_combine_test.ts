import { storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import { activationBytes } from "../../kernels/activation.ts";
import { attentionCombine } from "../../kernels/attention_combine.ts";
import { poisoned, runPass, withGpu } from "../helpers.ts";
import { assertChunks, readWords } from "./chunks.ts";

/** Sixteen numbers from a starting value and a step. */
function run(from: number, step: number): number[] {
  return Array.from({ length: 16 }, (_, i) => from + step * i);
}

// Whole runs of keys, over many shapes, are tested with `attention`; here the numbers are by hand.
Deno.test("attention_combine: a softmax over runs, each weighed by its maximum and weight", () =>
  withGpu(async (gpu) => {
    const log2 = Math.log(2);
    // (rows, splits, heads, maximum and weight and 16 sums)
    const partial = [
      ...[0, 2, ...run(2, 4)], // row 0, run 0, head 0
      ...[-5, 1, ...run(1, 0)],
      ...[log2, 1, ...run(5, -1)], // row 0, run 1: twice the weight of run 0
      ...[-5, 3, ...run(7, 4)],
      ...[100, 4, ...run(4, 8)], // row 1 ends in run 0
      ...[-1e30, 0.5, ...run(1, 1)],
      ...new Array<number>(36).fill(NaN), // so nobody wrote run 1
    ];
    // Row 0, head 0: (2 + 4 i + 2 (5 - i)) / (2 + 2 * 1). Head 1: (1 + 7 + 4 i) / (1 + 3).
    const outputs = [[...run(3, 0.5), ...run(2, 1)], [...run(1, 2), ...run(2, 2)]];
    // Head 1 from its end, then head 0 with its even dimensions first.
    const perm = [
      ...run(31, -1),
      ...[0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15],
    ];
    const y = poisoned(gpu, "y", activationBytes(2, 32) / 4);
    const combine = (await attentionCombine(gpu, { heads: 2, headDim: 16 })).bind({
      // Runs of 32 keys: position 32 is the first of run 1, position 31 the last of run 0.
      rows: storageFrom(gpu, "rows", new Uint32Array([9, 32, 9, 9, 9, 31, 9, 9])),
      partial: storageFrom(gpu, "partial", new Float32Array(partial)),
      perm: storageFrom(gpu, "perm", new Uint32Array(perm)),
      y,
      step: uniformFrom(gpu, "step", new Uint32Array([32, 2])),
    });
    runPass(gpu, (pass) => combine.dispatch(pass, 2));
    const expected = outputs.flatMap((row) => perm.map((from) => row[from]));
    // log 2 in f32, exp and one division: a few units in the last place.
    assertChunks(await readWords(gpu, y, 32), expected, 1e-6, "by hand");
  }));

Deno.test("attention_combine: the highest run wins wherever it is, and nothing overflows", () =>
  withGpu(async (gpu) => {
    const splits = 7;
    const inOrder = Uint32Array.from({ length: 32 }, (_, i) => i);
    // Row r ends in run r or later; its run r is 400 above the others: e^400 is no float32.
    const ends = [0, 6, 2, 5, 4, 6, 6];
    const runs = ends.flatMap((end, row) =>
      Array.from({ length: splits }, (_, split) => {
        if (split > end) return new Array<number>(36).fill(NaN);
        const maximum = split === row ? 200 : -200;
        return [0, 1].flatMap((head) => [maximum, 2, ...run(10 * split + head, 2)]);
      }).flat()
    );
    const y = poisoned(gpu, "y", activationBytes(splits, 32) / 4);
    const combine = (await attentionCombine(gpu, { heads: 2, headDim: 16 })).bind({
      rows: storageFrom(gpu, "rows", new Uint32Array(ends.flatMap((end) => [9, 32 * end, 9, 9]))),
      partial: storageFrom(gpu, "partial", new Float32Array(runs)),
      perm: storageFrom(gpu, "perm", inOrder),
      y,
      step: uniformFrom(gpu, "step", new Uint32Array([32, splits])),
    });
    runPass(gpu, (pass) => combine.dispatch(pass, splits));
    const expected = ends.flatMap((_, row) =>
      [0, 1].flatMap((head) => run((10 * row + head) / 2, 1))
    );
    assertChunks(await readWords(gpu, y, 32), expected, 1e-6, "one run far above the others");
  }));
