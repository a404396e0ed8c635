/**
 * gptq_repack and packGroups, against AutoGPTQ's own formula for its layout:
 *
 *   W[k, n] = scales[g_idx[k], n] * (q[k, n] - (z[g_idx[k], n] + 1))
 *
 * where q[k, n] is field k % (32 / bits) of qweight[k / (32 / bits), n] and z[g, n] is field
 * n % (32 / bits) of qzeros[g, n / (32 / bits)], low fields first.
 */
import assert from "node:assert/strict";
import { storageBuffer, storageFrom, uniformFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { gptqGemv } from "../../kernels/gptq_gemv.ts";
import { gptqRepack, packGroups } from "../../kernels/gptq_repack.ts";
import {
  assertNmse,
  assertSame,
  poisoned,
  randomFloats,
  readFloats,
  runPass,
  seededRandom,
  shuffled,
  withGpu,
} from "../helpers.ts";
import { byPart, packChunks, unpackChunks } from "./chunks.ts";

type Words = Uint32Array<ArrayBuffer>;

function randomWords(length: number, seed: number): Words {
  const random = seededRandom(seed);
  return Uint32Array.from({ length }, () => Math.floor(random() * 2 ** 32));
}

/** Field `index` of a run of packed words. */
function field(words: Words, bits: number, first: number, stride: number, index: number): number {
  const perWord = 32 / bits;
  const word = words[first + Math.floor(index / perWord) * stride];
  return Math.floor(word / 2 ** (bits * (index % perWord))) % 2 ** bits;
}

interface Repack {
  bits: number;
  inFeatures: number;
  outFeatures: number;
  /** Source of each input, and of each output. */
  perm: Words;
  columns: Words;
}

/** Repacks outputs [first, first + count) from chunks of `chunkRows` rows of qweight. */
async function repack(
  gpu: Gpu,
  { perm, columns, ...shape }: Repack,
  qweight: Words,
  [first, count]: [number, number],
  chunkRows: number,
): Promise<GPUBuffer> {
  const { bits, inFeatures, outFeatures } = shape;
  const kernel = await gptqRepack(gpu, shape);
  const rows = inFeatures * bits / 32;
  // Room for one more output, where nothing may be written.
  const weight = storageBuffer(gpu, "weight", (count + 1) * rows * 4);
  for (let row = 0; row < rows; row += chunkRows) {
    const chunk = qweight.subarray(row * outFeatures, (row + chunkRows) * outFeatures);
    const chunkUniform = new Uint32Array([row, chunk.length / outFeatures, first, count]);
    // A reused chunk holds older rows behind the new ones.
    const staged = new Uint32Array(chunk.length + outFeatures).fill(0xffffffff);
    staged.set(chunk);
    const call = kernel.bind({
      staged: storageFrom(gpu, "staged", staged),
      perm: storageFrom(gpu, "perm", perm),
      columns: storageFrom(gpu, "columns", columns),
      weight,
      chunk: uniformFrom(gpu, "chunk", chunkUniform),
    });
    runPass(gpu, (pass) => call.dispatch(pass, count));
  }
  return weight;
}

for (const bits of [4, 8]) {
  Deno.test(`gptq_repack: ${bits} bits, in chunks and slices, inputs and outputs reordered`, () =>
    withGpu(async (gpu) => {
      const inFeatures = 192;
      const outFeatures = 200;
      const qweight = randomWords(inFeatures * bits / 32 * outFeatures, bits);
      const inOrder = {
        perm: Uint32Array.from({ length: inFeatures }, (_, k) => k),
        columns: Uint32Array.from({ length: outFeatures }, (_, n) => n),
      };
      const shuffledBoth = { perm: shuffled(inFeatures, 1), columns: shuffled(outFeatures, 2) };
      for (const orders of [inOrder, shuffledBoth]) {
        const { perm, columns } = orders;
        // Chunks: the whole matrix; 7 rows, which do not divide it; one row.
        for (
          const [chunkRows, slice] of [[1000, [0, 200]], [7, [72, 65]], [1, [192, 8]]] as const
        ) {
          const [first, count] = slice;
          const shape = { bits, inFeatures, outFeatures, ...orders };
          const buffer = await repack(gpu, shape, qweight, [first, count], chunkRows);
          const bytes = new Uint8Array(await readOnce(gpu, buffer, buffer.size));
          const perOutput = inFeatures * bits / 8;
          const found: number[] = [];
          const expected: number[] = [];
          for (let n = 0; n < count; n++) {
            for (let k = 0; k < inFeatures; k++) {
              // Ours: a byte an input, less 128, or 4 inputs in the low halves of 4 bytes and 4 in
              // the high.
              const byte = bytes[n * perOutput + (bits === 8 ? k : Math.floor(k / 8) * 4 + k % 4)];
              if (bits === 8) found.push((byte < 128 ? byte : byte - 256) + 128);
              else found.push(k % 8 < 4 ? byte % 16 : byte >> 4);
              expected.push(field(qweight, bits, columns[first + n], outFeatures, perm[k]));
            }
          }
          const beyond = bytes.subarray(count * perOutput);
          assertSame(beyond, new Uint8Array(perOutput), "beyond the slice");
          assertSame(found, expected, `chunks of ${chunkRows}, outputs from ${first}`);
        }
      }
    }));

  Deno.test(`gptq_repack: repacked ${bits}-bit weights multiply as AutoGPTQ's formula says`, () =>
    withGpu(async (gpu) => {
      const [inFeatures, outFeatures, groupSize] = [320, 72, 128];
      const groups = Math.ceil(inFeatures / groupSize);
      // Act-order: ranks are scattered, a group is 128 consecutive ranks, and the last one is short.
      const rank = shuffled(inFeatures, 3);
      const groupOf = Array.from(rank, (r) => Math.floor(r / groupSize)); // g_idx
      const perm = Uint32Array.from(rank.keys()).sort((a, b) => groupOf[a] - groupOf[b]);
      const qweight = randomWords(inFeatures * bits / 32 * outFeatures, 4);
      const qzeros = randomWords(groups * outFeatures * bits / 32, 5);
      const scales = new Float16Array(randomFloats(groups * outFeatures, 6, 2 ** -bits));
      // Chunks hold inputs as the matrix keeps them: sorted input i comes from perm[i].
      const chunks = packChunks(randomFloats(inFeatures, 7));
      const x = new Float64Array(inFeatures);
      unpackChunks(chunks, "x").values.forEach((value, i) => x[perm[i]] = value);

      const expected = new Float64Array(outFeatures);
      for (let k = 0; k < inFeatures; k++) {
        for (let n = 0; n < outFeatures; n++) {
          const group = groupOf[k];
          const zero = field(qzeros, bits, group * outFeatures * bits / 32, 1, n) + 1;
          const value = field(qweight, bits, n, outFeatures, k);
          expected[n] += x[k] * scales[group * outFeatures + n] * (value - zero);
        }
      }

      const columns = Uint32Array.from({ length: outFeatures }, (_, n) => n);
      const shape = { bits, inFeatures, outFeatures };
      const packed = packGroups({
        bits,
        groups,
        outFeatures,
        scales: new Uint16Array(scales.buffer),
        qzeros,
        zeroOffset: 1,
        columns,
      });
      const y = poisoned(gpu, "y", outFeatures);
      const scalesAndZeros = storageFrom(gpu, "groups", packed);
      const call = (await gptqGemv(gpu, { ...shape, groupSize, epilogue: "store" })).bind({
        x: storageFrom(gpu, "x", byPart(chunks, inFeatures)),
        weight: await repack(gpu, { ...shape, perm, columns }, qweight, [0, outFeatures], 9),
        groups: scalesAndZeros,
        early1: scalesAndZeros,
        early2: scalesAndZeros,
        bias: storageBuffer(gpu, "bias", outFeatures * 4),
        y,
        slice: uniformFrom(gpu, "slice", new Uint32Array([0, outFeatures])),
      });
      runPass(gpu, (pass) => call.dispatch(pass, outFeatures, 1));
      // Whole numbers, and ten partial sums in f32: see gptq_matrix.ts.
      assertNmse(await readFloats(gpu, y), expected, 1e-13, `${bits} bits`);
    }));
}

Deno.test("packGroups: scales and zeros, transposed and in the columns' order", () => {
  // Two groups of eight outputs: zero fields 0..7 and 8..15, low fields first.
  const packed = packGroups({
    bits: 4,
    groups: 2,
    outFeatures: 8,
    scales: new Uint16Array([10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27]),
    qzeros: new Uint32Array([0x76543210, 0xfedcba98]),
    zeroOffset: 1,
    columns: new Uint32Array([7, 0, 1, 2, 3, 4, 5, 6]),
  });
  // Zeros are stored minus 1: output 0 comes from column 7, so 7 + 1 = 8 and 15 + 1 = 16.
  const halves = new Float16Array(packed.buffer);
  const bits = new Uint16Array(packed.buffer);
  const zeros = [8, 16, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15];
  const scales = [17, 27, 10, 20, 11, 21, 12, 22, 13, 23, 14, 24, 15, 25, 16, 26];
  assert.deepEqual([...packed.keys()].map((i) => halves[2 * i + 1]), zeros);
  assert.deepEqual([...packed.keys()].map((i) => bits[2 * i]), scales);
});

Deno.test("packGroups: 8-bit zeros reach 256, less 128; gptq_v2 stores them as they are", () => {
  const input = {
    bits: 8,
    groups: 1,
    outFeatures: 4,
    scales: new Uint16Array([0x3c00, 0x0001, 0x7bff, 0x8001]),
    qzeros: new Uint32Array([0xff_80_7f_00]),
    columns: new Uint32Array([0, 1, 2, 3]),
  };
  const zeros = (zeroOffset: number) =>
    [...new Float16Array(packGroups({ ...input, zeroOffset }).buffer)].filter((_, i) => i % 2);
  assert.deepEqual(zeros(1), [-127, 0, 1, 128]);
  assert.deepEqual(zeros(0), [-128, -1, 0, 127]);
});
