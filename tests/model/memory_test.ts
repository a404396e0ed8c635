/** GPU memory foretold, against what loading really takes; sizes on disk against the card. */
import assert from "node:assert/strict";
import { BRANCHES, diskBytes, memoryBytes } from "../../model/hub/branches.ts";
import { openCheckpoint } from "../../model/checkpoint/checkpoint.ts";
import { Falcon } from "../../model/falcon.ts";
import { gpuBytes } from "../../model/memory.ts";
import { Runner } from "../../model/runner.ts";
import { withGpu } from "../helpers.ts";
import { BRANCHES as FORMATS, withSynthetic } from "./synthetic.ts";

const SHAPE = { hiddenSize: 576, layers: 3, heads: 9, vocabSize: 4096, maxPositions: 512 };

for (const { bits, groupSize } of FORMATS) {
  Deno.test(`what a model takes is foretold: ${bits} bits, group ${groupSize}`, () =>
    withSynthetic({ shape: SHAPE, bits, groupSize }, (dir) =>
      withGpu(async (gpu) => {
        const checkpoint = await openCheckpoint(dir);
        checkpoint.close();
        const before = gpu.allocatedBytes;
        const model = await Falcon.load(gpu, dir);
        await Runner.create(model, 1);
        const taken = gpu.allocatedBytes - before;
        const foretold = gpuBytes(checkpoint.config, checkpoint.quantization);
        assert.ok(Math.abs(foretold / taken - 1) < 0.02, `${foretold} foretold, ${taken} taken`);
      })));
}

// Of one file or, for 8 bits, of two; the card prints the first of the two only.
Deno.test("the branches' sizes on disk, in GB", () => {
  assert.deepEqual(
    BRANCHES.map((branch) => [branch.revision, (diskBytes(branch) / 1e9).toFixed(2)]),
    [
      ["main", "4.04"],
      ["gptq-4bit-64g-actorder_True", "4.17"],
      ["gptq-4bit-32g-actorder_True", "4.43"],
      ["gptq-8bit--1g-actorder_True", "7.23"],
      ["gptq-8bit-128g-actorder_True", "7.38"],
      ["gptq-8bit-32g-actorder_True", "7.84"],
    ],
  );
});

Deno.test("main takes what was measured, and finer groups take more", () => {
  const [main, ...others] = BRANCHES.map(memoryBytes);
  assert.ok(Math.abs(main! / 4.23e9 - 1) < 0.02, `${main}`); // LOG.md, 2026-11-24
  assert.deepEqual(others, [...others].sort((a, b) => a - b));
});
