/**
 * Floating-point numbers between the formats of a checkpoint and ours.
 *
 * Knows F16 (1 sign, 5 exponent, 10 fraction bits), BF16 (the upper half of an F32) and F32, all
 * little-endian as safetensors and every machine that Deno runs on have them. Knows no tensors.
 */

import type { Dtype } from "./safetensors.ts";

/** Bits of an f16 without its sign, and those of infinity. */
const F16_MAGNITUDE = 0x7fff;
const F16_INFINITY = 0x7c00;

/**
 * The values as f32, which holds every F16 and BF16 exactly.
 *
 * @returns a view of `bytes` where they are aligned F32 already, else a copy
 * @throws {RangeError} for another dtype, or bytes that end within a value
 */
export function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: Dtype): Float32Array<ArrayBuffer> {
  if (dtype === "F32") {
    const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
    return new Float32Array(buffer, byteOffset, byteLength / 4);
  }
  const halves = toUint16(bytes);
  if (dtype === "F16") {
    return new Float32Array(new Float16Array(halves.buffer, halves.byteOffset, halves.length));
  }
  if (dtype === "BF16") {
    const words = new Uint32Array(halves.length);
    for (let i = 0; i < words.length; i++) words[i] = halves[i] << 16;
    return new Float32Array(words.buffer);
  }
  throw new RangeError(`Expected F16, BF16 or F32 values, found ${dtype}.`);
}

/**
 * The values as the bits of f16, rounded to the nearest, ties to even.
 *
 * @returns a view of `bytes` where they are aligned F16 already, else a copy
 * @throws {RangeError} for a finite value that f16 cannot hold (65520 and more), another dtype, or
 *   bytes that end within a value
 */
export function toFloat16Bits(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: Dtype,
): Uint16Array<ArrayBuffer> {
  if (dtype === "F16") return toUint16(bytes);
  const values = toFloat32(bytes, dtype);
  const bits = new Uint16Array(new Float16Array(values).buffer);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & F16_MAGNITUDE) === F16_INFINITY && Number.isFinite(values[i])) {
      throw new RangeError(
        `Expected values that f16 can hold (up to 65504), found ${values[i]} at position ${i}.`,
      );
    }
  }
  return bits;
}

function toUint16(bytes: Uint8Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** The same bytes at a multiple of `unit`, copied only if need be. */
function aligned(bytes: Uint8Array<ArrayBuffer>, unit: number): Uint8Array<ArrayBuffer> {
  if (bytes.length % unit !== 0) {
    throw new RangeError(`Expected a multiple of ${unit} bytes, found ${bytes.length}.`);
  }
  return bytes.byteOffset % unit === 0 ? bytes : bytes.slice();
}
