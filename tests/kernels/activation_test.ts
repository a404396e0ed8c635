import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import {
  activationBytes,
  CHUNK,
  CHUNK_WORDS,
  NUMBERS,
  type Numbers,
  STORE_QUAD,
} from "../../kernels/activation.ts";
import { poisoned, randomFloats, runPass, withGpu } from "../helpers.ts";
import { assertChunks, packChunks, readWords, unpackChunks } from "./chunks.ts";

/** One workgroup that stores chunk after chunk, with no barrier of its own between them. */
const storeOnly = defineKernel({
  name: "store_quad_only",
  code: STORE_QUAD + `
    override THREADS: u32;
    override NUMBERS: u32;
    @group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read> written: array<u32>; // (chunks): not 0 for inside
    @group(0) @binding(2) var<storage, read_write> y: array<u32>;
    @compute @workgroup_size(THREADS) fn main(@builtin(local_invocation_index) thread: u32) {
      let quads = arrayLength(&x);
      for (var first = 0u; first < quads; first += THREADS) {
        let quad = first + thread;
        let chunk = quad / 8u;
        let inside = quad < quads && written[min(chunk, quads / 8u - 1u)] != 0u;
        // Each chunk is a row of its own.
        store_quad(x[min(quad, quads - 1u)], place_of(chunk, 0u, 1u), thread, inside);
      }
    }`,
  bindings: { x: "read", written: "read", y: "read_write" },
});

/** Stores the chunks of `x` that `written` names; two more chunks than x has stay poisoned. */
async function store(
  gpu: Gpu,
  x: Float32Array<ArrayBuffer>,
  threads = 64,
  written: (chunk: number) => boolean = () => true,
  numbers: Numbers = "int16",
): Promise<Uint32Array> {
  const chunks = x.length / CHUNK;
  const y = poisoned(gpu, "y", (chunks + 2) * CHUNK_WORDS);
  const flags = Uint32Array.from({ length: chunks }, (_, chunk) => Number(written(chunk)));
  const kernel = await compileKernel(gpu, storeOnly, {
    THREADS: threads,
    NUMBERS: NUMBERS[numbers],
  });
  const call = kernel.bind({
    x: storageFrom(gpu, "x", x),
    written: storageFrom(gpu, "written", flags),
    y,
  });
  runPass(gpu, (pass) => call.dispatch(pass, 1));
  return await readWords(gpu, y, CHUNK);
}

/** 32 numbers: `value` of each index, 0 where it gives none. */
function chunkOf(value: (i: number) => number | undefined): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: CHUNK }, (_, i) => value(i) ?? 0);
}

const ramp = chunkOf((i) => i - 13);

/** Chunks in which every number must come back within half a step of 1/16319 of the largest. */
const EXACT: Record<string, Float32Array<ArrayBuffer>> = {
  "random": randomFloats(CHUNK, 1),
  "zero": chunkOf(() => 0),
  "negative zero": chunkOf(() => -0),
  "one number, the first": chunkOf((i) => i === 0 ? 5 : 0),
  "one number, the last": chunkOf((i) => i === 31 ? -5 : 0),
  "one huge value among small ones": chunkOf((i) => i === 20 ? 8e37 : ramp[i]),
  "all as large as WGSL divides by (2^126)": chunkOf((i) => i % 3 ? 8.5e37 : -8.5e37),
  "tiny": ramp.map((value) => value * 1e-20),
  "just above the smallest": ramp.map((value) => value * 1e-30),
  "all at the negative end": chunkOf(() => -1),
  "negative end and zero": chunkOf((i) => i % 2 ? -7 : 0),
  "both ends": chunkOf((i) => i % 2 ? -16319 : 16319),
  // Whole numbers at the scale 1: every remainder of 128, on both sides of zero.
  "whole numbers": chunkOf((i) => i === 0 ? 16319 : 67 * (i - 16)),
  "carries": chunkOf((i) => [-16319, -16257, -16256, -65, -64, -63, -1, 1, 63, 64, 65, 192][i]),
};

Deno.test("store_quad: every number within half a step, of any size", () =>
  withGpu(async (gpu) => {
    for (const [what, x] of Object.entries(EXACT)) {
      const words = (await store(gpu, x)).subarray(0, CHUNK_WORDS);
      assertChunks(words, x, 0, what);
      const { values, scales } = unpackChunks(words, what);
      const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      // A division of f32: 2.5 units in the last place.
      assert(Math.abs(scales[0] - largest / 16319) <= 3e-7 * scales[0], `${what}: ${scales[0]}`);
      if (/whole|carries|ends/.test(what)) assert.deepEqual([...values].map(Math.round), [...x]);
    }
  }));

Deno.test("store_quad: below 1e-30, where 1 / largest leaves f32, all is zero", () =>
  withGpu(async (gpu) => {
    for (const size of [1e-32, 1e-38, 1e-40, 1e-45]) {
      const words = await store(gpu, chunkOf((i) => i % 2 ? size : -size));
      const { values } = unpackChunks(words.subarray(0, CHUNK_WORDS), `${size}`);
      assert.deepEqual([...values].map(Math.abs), new Array(CHUNK).fill(0), `${size}`);
    }
  }));

Deno.test("store_quad: a number that is not finite does not pass for one that is", () =>
  withGpu(async (gpu) => {
    for (const odd of [Infinity, -Infinity, NaN]) {
      for (const place of [0, 6, 31]) {
        const words = await store(gpu, chunkOf((i) => i === place ? odd : ramp[i]));
        const [scale] = new Float32Array(words.buffer, 64, 1);
        assert(!Number.isFinite(scale), `${odd} at ${place}: scale ${scale}`);
      }
    }
  }));

Deno.test("store_quad: chunk after chunk in one workgroup, and only those that are inside", () =>
  withGpu(async (gpu) => {
    const poison = new Array<number>(CHUNK_WORDS).fill(0x7fc00000);
    for (const threads of [8, 64, 256]) {
      const chunks = 77; // several turns of the workgroup, the last one short
      // Chunks of very different sizes: a maximum or sum of other threads would show.
      const x = randomFloats(chunks * CHUNK, threads).map((value, i) =>
        value * 10 ** (Math.floor(i / CHUNK) % 7 - 3)
      );
      const written = (chunk: number) => chunk % 3 !== 1;
      const words = await store(gpu, x, threads, written);
      const independent = packChunks(x);
      for (let chunk = 0; chunk < chunks + 2; chunk++) {
        const what = `${threads} threads, chunk ${chunk}`;
        const found = words.subarray(CHUNK_WORDS * chunk, CHUNK_WORDS * (chunk + 1));
        if (chunk >= chunks || !written(chunk)) {
          assert.deepEqual([...found], poison, what);
          continue;
        }
        assertChunks(found, x.subarray(CHUNK * chunk, CHUNK * (chunk + 1)), 0, what);
        // The helper that packs other tests' inputs, held against the kernel.
        const packed = independent.subarray(CHUNK_WORDS * chunk, CHUNK_WORDS * (chunk + 1));
        const mine = unpackChunks(found, what);
        unpackChunks(packed, what).values.forEach((value, i) =>
          assert(Math.abs(value - mine.values[i]) <= 1.01 * mine.scales[i], `${what}, ${i}`)
        );
      }
    }
  }));

Deno.test("store_quad: one byte a number, and nothing where the second would be", () =>
  withGpu(async (gpu) => {
    const chunks = 9;
    const x = randomFloats(chunks * CHUNK, 5);
    const words = await store(gpu, x, 64, () => true, "int8");
    const found = words.subarray(0, chunks * CHUNK_WORDS);
    assertChunks(found, x, 0, "one byte", "int8");
    for (let chunk = 0; chunk < chunks; chunk++) {
      const low = found.subarray(CHUNK_WORDS * chunk + 8, CHUNK_WORDS * chunk + 16);
      assert.deepEqual([...low], new Array(8).fill(0x7fc00000), `chunk ${chunk}`);
    }
  }));

Deno.test("store_quad: halves, every one rounded once, and what is not finite stays so", () =>
  withGpu(async (gpu) => {
    const inputs = { random: randomFloats(3 * CHUNK, 5), large: chunkOf((i) => 1000 * (i - 15)) };
    for (const [what, x] of Object.entries(inputs)) {
      const words = await store(gpu, x, 64, () => true, "f16");
      assertChunks(words.subarray(0, x.length / CHUNK * CHUNK_WORDS), x, 0, what, "f16");
    }
    const words = await store(gpu, chunkOf((i) => i === 6 ? NaN : ramp[i]), 64, () => true, "f16");
    const { values } = unpackChunks(words.subarray(0, CHUNK_WORDS), "NaN", "f16");
    assert(values.every((value, i) => Number.isNaN(value) === (i === 6)));
  }));

Deno.test("activationBytes: twenty words for every 32 numbers", () => {
  assert.equal(activationBytes(1, 32), 80);
  assert.equal(activationBytes(3, 4544), 3 * 142 * 80);
});
