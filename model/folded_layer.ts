/**
 * A layer for a step of one row, its nine kernels folded into four dispatches that wait three times.
 *
 * Knows which shapes and GPUs it is good for, and which buffers its kernels exchange; the layer's
 * arithmetic is `forward.ts`'s. A step has few rows but one: with more, each would read the weights
 * for itself, and rows of one sequence would not see each other's keys.
 */
import type { Gpu } from "../gpu/device.ts";
import type { BoundKernel } from "../gpu/kernel.ts";
import { canCombineDense, combineDense } from "../kernels/combine_dense.ts";
import { type GemvCut, gptqGemv } from "../kernels/gptq_gemv.ts";
import { canNormQkvUp, normQkvUp } from "../kernels/norm_qkv_up.ts";
import { combineDenseCut, normQkvUpCut, type RowCut } from "../kernels/row_cuts.ts";
import { canAttendRow, rowAttention } from "../kernels/row_attention.ts";
import type { Activations } from "./activations.ts";
import type { FalconConfig } from "./config.ts";
import { BLOCK_TOKENS } from "./kv_cache.ts";
import type { Surroundings } from "./layer.ts";
import { type Arithmetic, numbersOf } from "./multiply.ts";
import type { LayerWeights } from "./weights.ts";

export interface FoldedLayer {
  normQkvUp: BoundKernel<[]>;
  attention: BoundKernel<[splits: number]>;
  down: BoundKernel<[]>;
  combineDense: BoundKernel<[]>;
}

/** How the kernels are cut for the GPU; down as `gptq_gemv` does by itself where it is left out. */
export interface FoldedCuts {
  normQkvUp: RowCut;
  down?: GemvCut;
  combineDense: RowCut;
}

/** The cuts for matrices of so many bits. */
export function foldedCuts(gpu: Gpu, bits: number): FoldedCuts {
  return { normQkvUp: normQkvUpCut(gpu, bits), combineDense: combineDenseCut(gpu, bits) };
}

/**
 * Undefined where this GPU cannot run it, for want of workgroup memory or bindings; where a matrix is
 * in several slices; and where a row is to be computed as it is in company.
 */
export async function foldedLayer(
  gpu: Gpu,
  config: FalconConfig,
  weights: LayerWeights,
  activations: Activations,
  { state, tables, kv, angles }: Surroundings,
  arithmetic: Arithmetic,
  cuts: FoldedCuts = foldedCuts(gpu, weights.up.bits),
): Promise<FoldedLayer | undefined> {
  const { hiddenSize: hidden, ffnSize: ffn, heads, headDim, layerNormEpsilon: epsilon } = config;
  const { norm, qkv, up, down, dense, qkvOrder, upOrder, oneOrder, denseOrder } = weights;
  const numbers = numbersOf(arithmetic, "alone");
  const { bits, groupSize } = up;
  const hiddenShape = { bits, hidden, groupSize, numbers };
  const wideShape = { ...hiddenShape, ffn, qkv: qkv.outFeatures, epsilon, oneOrder };
  const attentionShape = { heads, headDim, block: BLOCK_TOKENS };
  const denseShape = { ...hiddenShape, heads };
  const whole = [qkv, up, down, dense].every(({ slices }) => slices.length === 1);
  const can = whole && !arithmetic.deterministic && canNormQkvUp(gpu, wideShape, cuts.normQkvUp) &&
    canAttendRow(gpu, attentionShape) && canCombineDense(gpu, denseShape, cuts.combineDense);
  if (!can) return undefined;

  const { rows, x, attentionStep: step } = state;
  const wide = await normQkvUp(gpu, wideShape, cuts.normQkvUp);
  const attention = await rowAttention(gpu, attentionShape);
  const downKernel = await gptqGemv(gpu, { ...down, epilogue: "store", numbers }, cuts.down);
  const denseKernel = await combineDense(gpu, denseShape, cuts.combineDense);
  const { groups } = down;
  const boundDown = downKernel.bind({
    x: activations.ffn,
    weight: down.slices[0].range,
    groups,
    bias: down.bias,
    y: activations.down,
    slice: down.slices[0].uniform,
    early1: activations.qkv,
    early2: groups,
  });
  return {
    normQkvUp: wide.bind({
      x,
      normWeight: norm.weight,
      normBias: norm.bias,
      upOrder,
      qkvOrder,
      upWeight: up.slices[0].range,
      upGroups: up.groups,
      upBias: up.bias,
      qkvWeight: qkv.slices[0].range,
      qkvGroups: qkv.groups,
      qkvBias: qkv.bias,
      ffn: activations.ffn,
      qkv: activations.qkv,
    }),
    attention: attention.bind({
      rows,
      tables,
      angles,
      qkv: activations.qkv,
      kv,
      partial: activations.partial,
      peaks: activations.peaks,
      step,
      early: activations.ffn,
    }),
    down: { ...boundDown, dispatch: (pass) => boundDown.dispatch(pass, hidden, 1) },
    combineDense: denseKernel.bind({
      partial: activations.partial,
      peaks: activations.peaks,
      order: denseOrder,
      weight: dense.slices[0].range,
      groups: dense.groups,
      bias: dense.bias,
      down: activations.down,
      x,
      step,
    }),
  };
}
