/**
 * Chunks of 32 numbers in tests: float rows into chunks, chunks into float64.
 *
 * Knows the layout that `kernels/activation.ts` documents, written here a second time; knows no
 * kernel.
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import type { Numbers } from "../../kernels/activation.ts";

const CHUNK = 32;
const WORDS = 20;
/** What the largest number of a chunk becomes; of two bytes, at their highest: 128 * 127 + 63. */
const LARGEST = { int8: 127, int16: 16319, f16: NaN };
/** What a number is kept times, as a half. */
const HALF_SCALE = 1 / 8;

/** Byte of a chunk that holds the high part of number `i`; the low part is 32 bytes further on. */
function highByte(i: number): number {
  const quad = Math.floor(i / 4);
  const word = quad % 2 === 0 ? quad / 2 : 4 + (quad - 1) / 2; // even quads first, then odd ones
  return 4 * word + i % 4;
}

/** Byte of a chunk of halves that holds number `i`. */
function halfByte(i: number): number {
  return 16 * Math.floor(i / 8) + 2 * [0, 4, 1, 5, 2, 6, 3, 7][i % 8]!;
}

/** Rows of any multiple of 32 numbers, as a matrix kernel reads them. */
export function packChunks(
  values: Float32Array,
  numbers: Numbers = "int16",
): Uint32Array<ArrayBuffer> {
  const top = LARGEST[numbers];
  assert.equal(values.length % CHUNK, 0);
  const words = new Uint32Array(values.length / CHUNK * WORDS);
  for (let chunk = 0; chunk < values.length / CHUNK; chunk++) {
    const view = new DataView(words.buffer, 4 * WORDS * chunk, 4 * WORDS);
    const own = values.subarray(CHUNK * chunk, CHUNK * (chunk + 1));
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    let sum = 0;
    own.forEach((value, i) => {
      if (numbers === "f16") {
        view.setFloat16(halfByte(i), value * HALF_SCALE, true);
        return;
      }
      const whole = largest === 0 ? 0 : Math.round(value / largest * top);
      const high = numbers === "int8" ? whole : Math.round(whole / 128);
      view.setInt8(highByte(i), high);
      if (numbers === "int16") view.setInt8(highByte(i) + 32, whole - 128 * high);
      sum += whole;
    });
    if (numbers === "f16") continue;
    view.setFloat32(64, largest / top, true);
    view.setInt32(68, sum, true);
  }
  return words;
}

/** What chunks hold: the numbers, and for each at most how far it is to the next one. */
export interface Unpacked {
  values: Float64Array;
  scales: Float64Array;
}

/**
 * Fails where a chunk breaks its own rules: a sum that is not that of its whole numbers, a whole
 * number out of range, or a scale coarser than its largest number needs.
 */
export function unpackChunks(
  words: Uint32Array,
  what: string,
  numbers: Numbers = "int16",
): Unpacked {
  assert.equal(words.length % WORDS, 0, what);
  const count = words.length / WORDS * CHUNK;
  const values = new Float64Array(count);
  const scales = new Float64Array(count);
  for (let chunk = 0; chunk < words.length / WORDS; chunk++) {
    const view = new DataView(words.buffer, words.byteOffset + 4 * WORDS * chunk, 4 * WORDS);
    if (numbers === "f16") {
      const halves = Array.from({ length: CHUNK }, (_, i) => view.getFloat16(halfByte(i), true));
      values.set(halves.map((half) => half / HALF_SCALE), CHUNK * chunk);
      scales.set(halves.map((half) => Math.abs(half) / HALF_SCALE * 2 ** -10), CHUNK * chunk);
      continue;
    }
    const wholes = Array.from({ length: CHUNK }, (_, i) => {
      const high = view.getInt8(highByte(i));
      return numbers === "int8" ? high : 128 * high + view.getInt8(highByte(i) + 32);
    });
    const scale = view.getFloat32(64, true);
    const where = `${what}, chunk ${chunk}`;
    const sum = wholes.reduce((total, whole) => total + whole, 0);
    assert.equal(view.getInt32(68, true), sum, `${where}: sum of the whole numbers`);
    const largest = wholes.reduce((most, whole) => Math.max(most, Math.abs(whole)), 0);
    if (largest !== 0) {
      assert.equal(largest, LARGEST[numbers], `${where}: largest whole number`);
    }
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
  numbers: Numbers = "int16",
): void {
  const { values, scales } = unpackChunks(words, what, numbers);
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

/** Words of chunks that lie one after the other, as rows of `width` numbers keep them: by vec4. */
export function byPart(words: Uint32Array, width: number): Uint32Array<ArrayBuffer> {
  return moved(words, width, false);
}

/** The other way round. */
export function byChunk(words: Uint32Array, width: number): Uint32Array<ArrayBuffer> {
  return moved(words, width, true);
}

function moved(words: Uint32Array, width: number, back: boolean): Uint32Array<ArrayBuffer> {
  const chunks = width / CHUNK;
  const result = new Uint32Array(words.length);
  for (let row = 0; row < words.length; row += chunks * WORDS) {
    for (let chunk = 0; chunk < chunks; chunk++) {
      for (let part = 0; part < WORDS / 4; part++) {
        const apart = row + 4 * (part * chunks + chunk);
        const together = row + WORDS * chunk + 4 * part;
        const [from, to] = back ? [apart, together] : [together, apart];
        result.set(words.subarray(from, from + 4), to);
      }
    }
  }
  return result;
}

/** A whole buffer of rows of `width` numbers, as words of one chunk after the other. */
export async function readWords(gpu: Gpu, buffer: GPUBuffer, width: number): Promise<Uint32Array> {
  return byChunk(new Uint32Array(await readOnce(gpu, buffer, buffer.size)), width);
}
