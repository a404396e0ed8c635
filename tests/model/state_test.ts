/** The activations: how many rows fit, and what the kernels are told of a step. */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import type { FalconConfig } from "../../model/config.ts";
import { rowsThatFit, State } from "../../model/state.ts";
import { readOnce } from "../../gpu/readback.ts";
import { withGpu } from "../helpers.ts";

const FALCON_7B: FalconConfig = {
  hiddenSize: 4544,
  layers: 32,
  heads: 71,
  headDim: 64,
  ffnSize: 18176,
  vocabSize: 65024,
  layerNormEpsilon: 1e-5,
  ropeTheta: 10000,
  maxPositions: 2048,
  bosTokenId: 11,
  eosTokenId: 11,
};

const SMALL = { ...FALCON_7B, hiddenSize: 192, heads: 3, ffnSize: 768, vocabSize: 512 };

async function words(gpu: Gpu, buffer: GPUBuffer, count: number): Promise<number[]> {
  return [...new Uint32Array(await readOnce(gpu, buffer, count * 4))];
}

Deno.test("as many rows fit as a binding holds of the widest activation, and at least one", () => {
  const fitting = (maxBindingBytes: number, wanted: number) =>
    rowsThatFit({ maxBindingBytes } as Gpu, FALCON_7B, wanted);
  const mebibyte = 2 ** 20;
  assert.equal(fitting(128 * mebibyte, 256), 256);
  assert.equal(fitting(10 * 18176 * 4, 256), 10);
  assert.equal(fitting(10 * 18176 * 4 - 1, 256), 9);
  assert.equal(fitting(1, 256), 1);
});

Deno.test("every activation has room for the rows of a step", () =>
  withGpu((gpu) => {
    const state = new State(gpu, SMALL, { maxRows: 10, maxPicks: 3, maxPositions: 2048 });
    const floats = (buffer: GPUBuffer) => buffer.size / 4;
    assert.equal(floats(state.rows), 10 * 4);
    assert.equal(floats(state.x), 10 * 192);
    assert.equal(floats(state.shared.qkv), 10 * 5 * 64);
    assert.equal(floats(state.shared.q), 10 * 192);
    assert.equal(floats(state.final), 3 * 192);
    assert.equal(floats(state.logits), 3 * 512);
    // Twenty words for 32 numbers of two bytes.
    assert.equal(floats(state.shared.ffn), 10 * 768 / 32 * 20);
    // The keys of up to eight rows are split, in 16 runs at most.
    assert.equal(floats(state.shared.partial), 8 * 16 * 3 * 66);
    assert.equal(state.few.length, SMALL.layers);
    // A set a layer for steps of up to eight rows.
    assert.equal(floats(state.few[0].ffn), 8 * 768 / 32 * 20);
    assert.equal(floats(state.few[0].partial), 8 * 16 * 3 * 66);
    return Promise.resolve();
  }));

Deno.test("a step uploads its rows, and splits the keys of few rows only", () =>
  withGpu(async (gpu) => {
    const state = new State(gpu, SMALL, { maxRows: 16, maxPicks: 3, maxPositions: 2048 });
    const tableWidth = 64;
    const few = [
      { token: 7, position: 128, slot: 0 },
      { token: 9, position: 3, slot: 2 },
    ];
    assert.deepEqual(state.upload(few, [1, 0], tableWidth), {
      rows: few.length,
      picks: 2,
      splits: 3,
    });
    assert.deepEqual(await words(gpu, state.rows, 8), [7, 128, 0, 0, 9, 3, 128, 2]);
    assert.deepEqual(await words(gpu, state.picked, 2), [1, 0]);
    const splits = (last: number, rows: number) =>
      state.upload(
        Array.from({ length: rows }, (_, i) => ({ token: 1, position: last - i, slot: 0 })),
        [],
        tableWidth,
      ).splits;
    assert.equal(splits(127, 2), 2);
    assert.deepEqual(await words(gpu, state.picked, 2), [1, 0]);
    // A longer context has longer runs, of a multiple of 64 keys, not more of them.
    assert.equal(splits(1023, 2), 16);
    assert.equal(splits(1899, 2), 15);
    // One row has runs of 1024 keys.
    assert.equal(splits(1023, 1), 1);
    assert.equal(splits(1024, 1), 2);
    const many = Array.from({ length: 9 }, (_, i) => ({ token: 1, position: 2039 + i, slot: 0 }));
    assert.equal(state.upload(many, [8], tableWidth).splits, 1);
  }));
