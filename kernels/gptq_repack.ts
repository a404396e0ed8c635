/**
 * From AutoGPTQ's weight layout to the one our matrix kernels read.
 *
 * Knows both layouts; knows nothing of files. The host side of the scales and zeros is here too,
 * since the same kernels read them.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./gptq_repack.wgsl" with { type: "text" };

const source = defineKernel({
  name: "gptq_repack",
  code,
  bindings: {
    staged: "read",
    perm: "read",
    columns: "read",
    weight: "read_write",
    chunk: "uniform",
  },
});

export interface RepackShape {
  bits: number;
  inFeatures: number;
  outFeatures: number;
}

/** Adds the staged rows of qweight to `weight`, (outputs, inFeatures * bits / 32) words. */
export function gptqRepack(gpu: Gpu, { bits, inFeatures, outFeatures }: RepackShape) {
  return compileKernel(
    gpu,
    source,
    { BITS: bits, IN: inFeatures, OUT: outFeatures },
    (outputs: number) => [Math.ceil(outputs / 64), inFeatures * bits / 32],
  );
}

export interface GroupsInput {
  bits: number;
  groups: number;
  outFeatures: number;
  /** (groups, outFeatures) as half-precision bits. */
  scales: Uint16Array;
  /** (groups, outFeatures * bits / 32) words. */
  qzeros: Uint32Array;
  /** What the file subtracted from each zero before storing it: 1, or 0 in gptq_v2. */
  zeroOffset: number;
  /** Source column of each output, (outFeatures). */
  columns: Uint32Array;
}

/**
 * Scales and zeros as the matrix kernels read them: (outFeatures, groups) words, each a
 * half-precision scale (low) and zero (high), the zero of 8-bit values less 128 as they are. Zeros
 * are whole numbers to 256, exact in half precision; AutoGPTQ adds the 1 back without wrapping, so
 * 16 (or 256) is a legal zero.
 */
export function packGroups(input: GroupsInput): Uint32Array<ArrayBuffer> {
  const { bits, groups, outFeatures, scales, qzeros, zeroOffset, columns } = input;
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const zeroWords = outFeatures / perWord;
  const stored = bits === 8 ? 128 : 0;
  const highHalf = Uint32Array.from(
    { length: mask + 2 },
    (_, zero) => float16Bits(zero - stored) << 16,
  );
  const packed = new Uint32Array(outFeatures * groups);
  for (let output = 0; output < outFeatures; output++) {
    const column = columns[output];
    const word = Math.floor(column / perWord);
    const shift = (column % perWord) * bits;
    for (let group = 0; group < groups; group++) {
      const zero = ((qzeros[group * zeroWords + word] >>> shift) & mask) + zeroOffset;
      packed[output * groups + group] = scales[group * outFeatures + column] | highHalf[zero];
    }
  }
  return packed;
}

function float16Bits(value: number): number {
  const view = new DataView(new ArrayBuffer(2));
  view.setFloat16(0, value);
  return view.getUint16(0);
}
