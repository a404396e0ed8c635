import assert from "node:assert/strict";
import fc from "fast-check";
import { toFloat16Bits, toFloat32 } from "../../../model/checkpoint/floats.ts";

/** Every 16-bit pattern, little-endian. */
function allPatterns(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer);
}

/** The value of f16 bits, straight from its definition: (-1)^s * 2^(e - 15) * (1 + f / 1024). */
function f16Value(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

Deno.test("floats: every F16 pattern keeps its value as f32", () => {
  const bytes = allPatterns();
  const view = new DataView(bytes.buffer);
  toFloat32(bytes, "F16").forEach((value, bits) => {
    assert(Object.is(value, f16Value(bits)), `bits ${bits}: ${value}`);
    assert(Object.is(value, view.getFloat16(2 * bits, true)));
  });
});

Deno.test("floats: every BF16 pattern is the upper half of an f32", () => {
  const view = new DataView(new ArrayBuffer(4));
  toFloat32(allPatterns(), "BF16").forEach((value, bits) => {
    view.setUint32(0, bits * 65536);
    assert(Object.is(value, view.getFloat32(0)), `bits ${bits}: ${value}`);
  });
});

Deno.test("floats: f32 to f16 takes the nearest value, ties to even", () => {
  const largest = 65504;
  const near = fc.oneof(
    fc.float({ min: -largest, max: largest, noNaN: true }),
    fc.float({ min: Math.fround(-1e-4), max: Math.fround(1e-4), noNaN: true }),
  );
  fc.assert(
    fc.property(near, (value) => {
      const [bits] = toFloat16Bits(new Uint8Array(Float32Array.of(value).buffer), "F32");
      const magnitude = bits! & 0x7fff, target = Math.abs(value);
      assert.equal(bits! >> 15, Object.is(value, -0) || value < 0 ? 1 : 0);
      const error = Math.abs(f16Value(magnitude) - target);
      for (const rival of [magnitude - 1, magnitude + 1]) {
        if (rival < 0 || rival >= 0x7c00) continue;
        const rivalError = Math.abs(f16Value(rival) - target);
        assert(error < rivalError || (error === rivalError && magnitude % 2 === 0));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("floats: known f16 roundings", () => {
  const cases: [value: number, bits: number][] = [
    [1, 0x3c00],
    [-2, 0xc000],
    [1 + 2 ** -11, 0x3c00], // a tie, down to even
    [1 + 3 * 2 ** -11, 0x3c02], // a tie, up to even
    [65504, 0x7bff],
    [65519, 0x7bff],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // a tie between 0 and the smallest
    [Infinity, 0x7c00],
    [-Infinity, 0xfc00],
  ];
  const values = Float32Array.from(cases, ([value]) => value);
  const bits = toFloat16Bits(new Uint8Array(values.buffer), "F32");
  assert.deepEqual([...bits], cases.map(([, expected]) => expected));
  const [nan] = toFloat16Bits(new Uint8Array(Float32Array.of(NaN).buffer), "F32");
  assert(Number.isNaN(f16Value(nan!)));
});

Deno.test("floats: bf16 to f16 rounds what f16 cannot hold", () => {
  // bf16 bits of 1, of 2^-24 * 1.5 and of -0.
  const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0x33c0, 0x8000).buffer);
  assert.deepEqual([...toFloat16Bits(bytes, "BF16")], [0x3c00, 0x0002, 0x8000]);
});

Deno.test("floats: a finite value beyond f16 throws, naming it", () => {
  for (const value of [65520, -70000, 3e38]) {
    const bytes = new Uint8Array(Float32Array.of(0, value).buffer);
    assert.throws(() => toFloat16Bits(bytes, "F32"), {
      name: "RangeError",
      message: new RegExp(`65504.*${Math.fround(value)}.*position 1`.replaceAll("+", "\\+")),
    });
  }
  const bytes = new Uint8Array(Uint16Array.of(0x4780).buffer); // bf16 bits of 65536
  assert.throws(() => toFloat16Bits(bytes, "BF16"), /65536/);
});

Deno.test("floats: aligned values pass without a copy, others with one", () => {
  const buffer = new ArrayBuffer(16);
  const odd = new Uint8Array(buffer, 1, 8), even = new Uint8Array(buffer, 2, 8);
  odd.set([0, 0x3c]);
  assert.equal(toFloat16Bits(odd, "F16")[0], 0x3c00);
  assert.notEqual(toFloat16Bits(odd, "F16").buffer, buffer);
  assert.equal(toFloat16Bits(even, "F16").buffer, buffer);
  assert.equal(toFloat16Bits(even, "F16").byteOffset, 2);
  assert.equal(toFloat32(new Uint8Array(buffer, 4, 8), "F32").buffer, buffer);
  assert.equal(toFloat32(even, "F32").length, 2);
});

Deno.test("floats: other dtypes and cut values throw", () => {
  assert.throws(() => toFloat32(new Uint8Array(8), "F64"), /F64/);
  assert.throws(() => toFloat16Bits(new Uint8Array(8), "I32"), /I32/);
  assert.throws(() => toFloat32(new Uint8Array(6), "F32"), /multiple of 4/);
  assert.throws(() => toFloat16Bits(new Uint8Array(3), "F16"), /multiple of 2/);
});
