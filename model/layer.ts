/**
 * A layer for steps of any number of rows, a dispatch a kernel: which buffers each reads and writes.
 *
 * Knows the layer's kernels; their order is `forward.ts`'s.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Binding, BoundKernel } from "../gpu/kernel.ts";
import { attention } from "../kernels/attention.ts";
import { attentionCombine } from "../kernels/attention_combine.ts";
import { layerNorm } from "../kernels/layer_norm.ts";
import { rotaryAppend } from "../kernels/rotary_append.ts";
import type { Activations } from "./activations.ts";
import type { FalconConfig } from "./config.ts";
import { BLOCK_TOKENS } from "./kv_cache.ts";
import { type Arithmetic, type Company, multiplier, type Multiply, numbersOf } from "./multiply.ts";
import type { State } from "./state.ts";
import type { LayerWeights } from "./weights.ts";

type Rows = BoundKernel<[rows: number]>;

/** One layer's kernels, each with its buffers. */
export interface Layer {
  normForQkv: Rows;
  /** Absent when qkv and up read their inputs in the same order. */
  normForUp: Rows | undefined;
  qkv: Multiply;
  rotaryAppend: Rows;
  attention: BoundKernel<[rows: number, splits: number]>;
  combine: Rows;
  dense: Multiply;
  up: Multiply;
  down: Multiply;
}

/** What a layer's kernels work on besides its weights and activations. */
export interface Surroundings {
  state: State;
  tables: GPUBuffer;
  kv: Binding;
  angles: GPUBuffer;
}

/** Compiles the kernels and binds them. */
export async function bindLayer(
  gpu: Gpu,
  config: FalconConfig,
  weights: LayerWeights,
  activations: Activations,
  { state, tables, kv, angles }: Surroundings,
  arithmetic: Arithmetic,
  company: Company,
): Promise<Layer> {
  const { hiddenSize, layerNormEpsilon, heads, headDim } = config;
  const numbers = numbersOf(arithmetic, company);
  const { rows, x, attentionStep: step } = state;
  const { normForQkv, qkv, q, partial, mix, ffn } = activations;
  const { norm, qkvOrder, upOrder, oneOrder, denseOrder: perm } = weights;
  const normForUp = oneOrder ? normForQkv : activations.normForUp;
  const shape = { heads, headDim, block: BLOCK_TOKENS };
  const normKernel = await layerNorm(gpu, hiddenSize, layerNormEpsilon, numbers);
  const multiply = multiplier(gpu, state, arithmetic, company);
  return {
    normForQkv: normKernel.bind({ x, ...norm, perm: qkvOrder, y: normForQkv }),
    normForUp: oneOrder ? undefined : normKernel.bind({ x, ...norm, perm: upOrder, y: normForUp }),
    qkv: await multiply(weights.qkv, normForQkv, "store", qkv, [normForUp]),
    rotaryAppend: (await rotaryAppend(gpu, shape)).bind({ rows, tables, angles, qkv, q, kv }),
    attention: (await attention(gpu, shape)).bind({ rows, tables, q, kv, partial, step }),
    combine: (await attentionCombine(gpu, shape, numbers)).bind({
      rows,
      partial,
      perm,
      y: mix,
      step,
    }),
    dense: await multiply(weights.dense, mix, "add", x),
    up: await multiply(weights.up, normForUp, "gelu", ffn),
    down: await multiply(weights.down, ffn, "add", x, [q, kv]),
  };
}
