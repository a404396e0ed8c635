/**
 * How much GPU memory a model will need, before anything is loaded.
 *
 * Knows which buffers a loaded model has: weights by formula, the others by making them on a GPU that
 * only counts. Knows no adapter.
 */
import type { Gpu } from "../gpu/device.ts";
import { groupCount, type Quantization } from "./checkpoint/quantization.ts";
import type { FalconConfig } from "./config.ts";
import { fitLimits } from "./falcon.ts";
import { BLOCK_TOKENS, KvCache } from "./kv_cache.ts";
import { State } from "./state.ts";

/**
 * Bytes of our own buffers with one context of full length; the driver takes some more.
 *
 * Leaves out what is below a thousandth for a large model: tables and results of the sampler.
 */
export function gpuBytes(
  config: FalconConfig,
  quantization: Pick<Quantization, "bits" | "groupSize">,
): number {
  const { hiddenSize: hidden, layers, headDim, ffnSize: ffn, vocabSize: vocab } = config;
  const linear = (inputs: number, outputs: number) => linearBytes(inputs, outputs, quantization);
  const norm = 2 * hidden * 4;
  const orders = 3 * hidden * 4;
  const layer = linear(hidden, hidden + 2 * headDim) + linear(hidden, hidden) +
    linear(hidden, ffn) + linear(ffn, hidden) + norm + orders;
  const embedding = vocab * hidden * 2;
  return embedding + layers * layer + norm + workingBytes(config);
}

/** Weights, a half-precision scale and zero for each group and output, and a bias. */
function linearBytes(
  inputs: number,
  outputs: number,
  { bits, groupSize }: Pick<Quantization, "bits" | "groupSize">,
): number {
  return outputs * (inputs * bits / 8 + groupCount(inputs, groupSize) * 4 + 4);
}

/** KV cache, activations, logits, and what the sampler keeps of each token. */
function workingBytes(config: FalconConfig): number {
  const gpu = new CountingGpu();
  const limits = fitLimits(gpu as unknown as Gpu, config, {});
  const blocks = Math.ceil(limits.maxPositions / BLOCK_TOKENS);
  new KvCache(gpu as unknown as Gpu, config, blocks, 1, limits.maxPositions);
  new State(gpu as unknown as Gpu, config, limits);
  const angles = limits.maxPositions * config.headDim * 4;
  const sampler = (limits.maxPicks + 1) * config.vocabSize * 4;
  return gpu.bytes + angles + sampler;
}

/** As much of a GPU as making buffers takes. */
class CountingGpu {
  bytes = 0;
  readonly maxBindingBytes = Infinity;
  readonly device = { queue: { writeBuffer() {} } };

  createBuffer(_label: string, bytes: number): object {
    this.bytes += Math.ceil(bytes / 4) * 4;
    return {};
  }
}
