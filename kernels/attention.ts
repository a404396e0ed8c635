/**
 * Attention of many query heads over one shared key and value head, in runs of keys.
 *
 * Knows its bindings, its grid and the shape of the partial sums it leaves for
 * `attention_combine`. Knows nothing of sequences: a row names its position and its block table.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import { type Gpu, GpuError } from "../gpu/device.ts";
import code from "./attention.wgsl" with { type: "text" };

const HEADS_PER_WORKGROUP = 8;
/** Keys read at a time: blocks of the KV cache are a multiple of it. */
export const KEY_TILE = 32;
export const MAX_HEAD_DIM = 128;

const source = defineKernel({
  name: "attention",
  code,
  bindings: {
    rows: "read",
    tables: "read",
    q: "read",
    kv: "read",
    partial: "read_write",
    step: "uniform",
  },
});

export interface AttentionShape {
  heads: number;
  headDim: number;
  /** Tokens in a KV block, a multiple of KEY_TILE. */
  block: number;
}

/**
 * `partial` holds (rows, splits, heads, headDim + 2) floats: maximum, weight, sum of values.
 * Keys a split are a multiple of KEY_TILE, or one split holds every context.
 *
 * @throws {GpuError} for a head dimension or block size the kernel was not written for.
 */
export function attention(gpu: Gpu, { heads, headDim, block }: AttentionShape) {
  if (headDim > MAX_HEAD_DIM || headDim % 8 !== 0 || block % KEY_TILE !== 0) {
    throw new GpuError(`attention cannot run head dim ${headDim} with blocks of ${block} tokens`);
  }
  return compileKernel(gpu, source, {
    HEADS: heads,
    HEAD_DIM: headDim,
    BLOCK: block,
  }, (rows: number, splits: number) => [splits, Math.ceil(heads / HEADS_PER_WORKGROUP), rows]);
}
