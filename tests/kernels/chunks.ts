/**
 * Chunks of 32 two-byte numbers in tests: float rows into chunks, chunks into float64.
 *
 * Knows the layout that `kernels/activation.ts` documents, written here a second time; knows no
 * kernel.
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";

const CHUNK = 32;
const WORDS = 20;
/** The largest whole number of a chunk: both of its bytes at their highest, 128 * 127 + 63. */
const LARGEST = 16319;

/** Byte of a chunk that holds the high part of number `i`; the low part is 32 bytes further on. */
function highByte(i: number): number {
  const quad = Math.floor(i / 4);
  const word = quad % 2 === 0 ? quad / 2 : 4 + (quad - 1) / 2; // even quads first, then odd ones
  return 4 * word + i % 4;
}

/** Rows of any multiple of 32 numbers, as a matrix kernel reads them. */
export function packChunks(numbers: Float32Array): Uint32Array<ArrayBuffer> {
  assert.equal(numbers.length % CHUNK, 0);
  const words = new Uint32Array(numbers.length / CHUNK * WORDS);
  for (let chunk = 0; chunk < numbers.length / CHUNK; chunk++) {
    const view = new DataView(words.buffer, 4 * WORDS * chunk, 4 * WORDS);
    const values = numbers.subarray(CHUNK * chunk, CHUNK * (chunk + 1));
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    let sum = 0;
    values.forEach((value, i) => {
      const whole = largest === 0 ? 0 : Math.round(value / largest * LARGEST);
      const high = Math.round(whole / 128);
      view.setInt8(highByte(i), high);
      view.setInt8(highByte(i) + 32, whole - 128 * high);
      sum += whole;
    });
    view.setFloat32(64, largest / LARGEST, true);
    view.setInt32(68, sum, true);
  }
  return words;
}

/** What chunks hold: the numbers, and for each the scale of its chunk. */
export interface Unpacked {
  values: Float64Array;
  scales: Float64Array;
}

/**
 * Fails where a chunk breaks its own rules: a sum that is not that of its whole numbers, a whole
 * number out of range, or a scale coarser than its largest number needs.
 */
export function unpackChunks(words: Uint32Array, what: string): Unpacked {
  assert.equal(words.length % WORDS, 0, what);
  const count = words.length / WORDS * CHUNK;
  const values = new Float64Array(count);
  const scales = new Float64Array(count);
  for (let chunk = 0; chunk < words.length / WORDS; chunk++) {
    const view = new DataView(words.buffer, words.byteOffset + 4 * WORDS * chunk, 4 * WORDS);
    const scale = view.getFloat32(64, true);
    const wholes = Array.from({ length: CHUNK }, (_, i) => {
      return 128 * view.getInt8(highByte(i)) + view.getInt8(highByte(i) + 32);
    });
    const where = `${what}, chunk ${chunk}`;
    const sum = wholes.reduce((total, whole) => total + whole, 0);
    assert.equal(view.getInt32(68, true), sum, `${where}: sum of the whole numbers`);
    const largest = wholes.reduce((most, whole) => Math.max(most, Math.abs(whole)), 0);
    if (largest !== 0) assert.equal(largest, LARGEST, `${where}: largest whole number`);
    values.set(wholes.map((whole) => scale * whole), CHUNK * chunk);
    scales.fill(scale, CHUNK * chunk, CHUNK * (chunk + 1));
  }
  return { values, scales };
}

/**
 * Compares chunks with what they should hold. A number may be off by half of its chunk's scale (and
 * a hundredth, for the f32 division and product before it is rounded), and by `error` times the
 * root mean square of all: what f32 lost in computing it.
 */
export function assertChunks(
  words: Uint32Array,
  expected: ArrayLike<number>,
  error: number,
  what: string,
): void {
  const { values, scales } = unpackChunks(words, what);
  assert.equal(values.length, expected.length, what);
  let squares = 0;
  for (let i = 0; i < expected.length; i++) squares += expected[i] ** 2;
  const allowed = error * Math.sqrt(squares / expected.length);
  for (let i = 0; i < expected.length; i++) {
    const off = Math.abs(values[i] - expected[i]);
    if (!(off <= 0.51 * scales[i] + allowed)) {
      assert.fail(`${what}: ${values[i]} at ${i}, expected ${expected[i]}, scale ${scales[i]}`);
    }
  }
}

/** A whole buffer, as words. */
export async function readWords(gpu: Gpu, buffer: GPUBuffer): Promise<Uint32Array> {
  return new Uint32Array(await readOnce(gpu, buffer, buffer.size));
}
