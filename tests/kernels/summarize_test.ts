import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import { PENALTIES_BYTES, writePenalties } from "../../kernels/penalize.ts";
import { summarize } from "../../kernels/summarize.ts";
import { poisoned, runPass, withGpu } from "../helpers.ts";

const VOCAB = 3 * 2048; // three chunks
const ROWS = 4;

/** Words of a chunk's entry: two floats of the logits, two of the scores, best id, invalid. */
function part(floats: [number, number, number, number], best: number, invalid = 0): Uint32Array {
  const words = new Uint32Array([0, 0, 0, 0, best, invalid]);
  new Float32Array(words.buffer).set(floats);
  return words;
}

const EMPTY: [number, number, number, number] = [-3.4028234e38, 0, -3.4028234e38, 0];

Deno.test("summarize: chunks of a row put together, and its truncation reset", () =>
  withGpu(async (gpu) => {
    const temperature = 0.5;
    const parameters = new DataView(new ArrayBuffer(ROWS * PENALTIES_BYTES));
    for (let row = 0; row < ROWS; row++) {
      writePenalties(parameters, row, {
        slot: 0,
        repetition: 1,
        frequency: 0,
        wholeContext: false,
        presence: 0,
        temperature,
        biased: false,
        wanted: 0,
      });
    }
    const parts = [
      // Sums weigh exp(-1) for the logits, exp(-1 / 0.5) for the scores.
      ...[part([1, 2, 3, 2], 17), part([2, 4, 4, 8], 2050), part([2, 1, 4, 1], 4100)],
      ...[part(EMPTY, 0), part([1e4, 3, -1e4, 5], 3000), part(EMPTY, 4096)],
      ...[part([1, 1, 1, 1], 1), part([1, 1, 1, 1], 2048, 1), part([1, 1, 1, 1], 4096)],
      ...[part(EMPTY, 0), part(EMPTY, 2048), part(EMPTY, 4096)],
    ];
    const summaries = poisoned(gpu, "summaries", ROWS * 6);
    const cuts = poisoned(gpu, "cuts", ROWS * 8);
    const call = (await summarize(gpu, VOCAB)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      parts: storageFrom(gpu, "parts", Uint32Array.from(parts.flatMap((words) => [...words]))),
      summaries,
      cuts,
    });
    runPass(gpu, (pass) => call.dispatch(pass, ROWS));
    const bytes = new DataView(await readOnce(gpu, summaries, summaries.size));
    const found = Array.from({ length: ROWS }, (_, row) => ({
      floats: [0, 1, 2, 3].map((word) => bytes.getFloat32(row * 24 + 4 * word, true)),
      best: bytes.getUint32(row * 24 + 16, true),
      invalid: bytes.getUint32(row * 24 + 20, true),
    }));
    const sums = [Math.log(5 + 2 * Math.exp(-1)), Math.log(9 + 2 * Math.exp(-2))];
    const expected = [
      { floats: [2, sums[0], 4, sums[1]], best: 2050, invalid: 0 },
      { floats: [1e4, Math.log(3), -1e4, Math.log(5)], best: 3000, invalid: 0 },
      { floats: [0, 0, 0, 0], best: 0, invalid: 1 },
      { floats: [0, 0, 0, 0], best: 0, invalid: 1 },
    ];
    for (const [row, { floats, best, invalid }] of expected.entries()) {
      assert.deepEqual([found[row].best, found[row].invalid], [best, invalid], `row ${row}`);
      floats.forEach((value, i) =>
        assert(Math.abs(found[row].floats[i] - value) <= 1e-6, `row ${row}: ${found[row].floats}`)
      );
    }
    const cleared = new Uint32Array(await readOnce(gpu, cuts, cuts.size));
    assert(cleared.every((word) => word === 0));
  }));
