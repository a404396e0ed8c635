/**
 * Rotary position embedding, and the new keys and values appended to the KV cache.
 *
 * Knows the layout of a KV block: (2: keys, values) x (tokens) x (head dim) half-precision numbers.
 * Knows nothing of who owns which block. Kernels that read the cache run in a later dispatch:
 * within one, other workgroups would see stale keys.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./rotary_append.wgsl" with { type: "text" };

const source = defineKernel({
  name: "rotary_append",
  code,
  bindings: {
    rows: "read",
    tables: "read",
    angles: "read",
    qkv: "read",
    q: "read_write",
    kv: "read_write",
  },
});

export interface RotaryShape {
  heads: number;
  headDim: number;
  /** Tokens in a KV block. */
  block: number;
}

export function rotaryAppend(gpu: Gpu, { heads, headDim, block }: RotaryShape) {
  return compileKernel(gpu, source, {
    HEADS: heads,
    HEAD_DIM: headDim,
    BLOCK: block,
    SCALE: 1 / Math.sqrt(headDim),
  }, (rows: number) => [Math.ceil((heads + 2) * headDim / 4 / 64), rows]);
}

/**
 * cos and sin of `position * theta^(-2i / headDim)`, (positions, headDim / 2, 2), rounded once from
 * double precision: a GPU's own sine is poor at large angles.
 */
export function rotaryAngles(
  positions: number,
  headDim: number,
  theta: number,
): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  const angles = new Float32Array(positions * half * 2);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** (-2 * i / headDim);
      angles[(position * half + i) * 2] = Math.cos(angle);
      angles[(position * half + i) * 2 + 1] = Math.sin(angle);
    }
  }
  return angles;
}
