/**
 * What one layer computes on the way from its input to its output, each buffer with its shape.
 *
 * Knows sizes; knows no kernel and no order of computation.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import { activationBytes } from "../kernels/activation.ts";
import type { FalconConfig } from "./config.ts";

export class Activations {
  readonly normForQkv: GPUBuffer; // (rows, hidden) in chunks: LN(x) in the order of qkv's inputs
  readonly normForUp: GPUBuffer; // (rows, hidden) in chunks: LN(x) in the order of up's inputs
  readonly qkv: GPUBuffer; // (rows, heads + 2, head dim)
  readonly q: GPUBuffer; // (rows, heads, head dim): rotated and scaled
  readonly partial: GPUBuffer; // (rows, splits, heads, head dim + 2); of one row (splits, hidden)
  readonly peaks: GPUBuffer; // of one row, (splits, heads, 2): maximum, weight
  readonly mix: GPUBuffer; // (rows, hidden) in chunks: attention, in the order of dense's inputs
  readonly ffn: GPUBuffer; // (rows, ffn) in chunks: gelu(up), in the order of down's inputs
  readonly down: GPUBuffer; // of one row, (hidden): what the MLP adds to the residual stream

  /** @param partials the most pairs of a row and a run of its keys */
  constructor(gpu: Gpu, config: FalconConfig, rows: number, partials: number) {
    const { hiddenSize, heads, headDim, ffnSize } = config;
    const floats = (label: string, count: number) => storageBuffer(gpu, label, count * 4);
    const chunks = (label: string, width: number) =>
      storageBuffer(gpu, label, activationBytes(rows, width));
    this.normForQkv = chunks("norm for qkv", hiddenSize);
    this.normForUp = chunks("norm for up", hiddenSize);
    this.qkv = floats("qkv", rows * (heads + 2) * headDim);
    this.q = floats("q", rows * heads * headDim);
    this.partial = floats("partial", partials * heads * (headDim + 2));
    this.peaks = floats("peaks", partials * heads * 2);
    this.mix = chunks("mix", hiddenSize);
    this.ffn = chunks("ffn", ffnSize);
    this.down = floats("down", hiddenSize);
  }
}
