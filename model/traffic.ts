/**
 * What decoding one token has to read: the bound that memory sets on speed.
 *
 * Knows sizes of weights, keys and values; what kernels exchange is small and left out. Knows no
 * times.
 */
import type { FalconConfig } from "./config.ts";
import { kvBytesPerToken } from "./kv_cache.ts";
import type { LinearWeights } from "./linear.ts";
import type { FalconWeights, LayerWeights } from "./weights.ts";

/** Bytes by the name of the kernel that reads them; see `Forward.parts`. */
export interface Traffic {
  qkv: number;
  up: number;
  down: number;
  dense: number;
  attention: number;
  /** Of the same, folded. */
  norm_qkv_up: number;
  combine_dense: number;
  row_attention: number;
  /** All of a layer, in all layers. */
  decode_layers: number;
  head: number;
}

/** @param context tokens before the one that is decoded */
export function traffic(
  config: FalconConfig,
  { layers, embedding }: Pick<FalconWeights, "layers" | "embedding">,
  context: number,
): Traffic {
  const all = (matrix: (layer: LayerWeights) => LinearWeights) =>
    total(layers.map((layer) => matrixBytes(matrix(layer))));
  const parts = {
    qkv: all(({ qkv }) => qkv),
    up: all(({ up }) => up),
    down: all(({ down }) => down),
    dense: all(({ dense }) => dense),
    attention: context * kvBytesPerToken(config),
  };
  const head = total(embedding.map(({ range }) => range.size));
  return {
    ...parts,
    norm_qkv_up: parts.qkv + parts.up,
    combine_dense: parts.dense,
    row_attention: parts.attention,
    decode_layers: total(Object.values(parts)),
    head,
  };
}

/** Bytes that one decoded token reads in all. */
export function tokenBytes({ decode_layers, head }: Traffic): number {
  return decode_layers + head;
}

function matrixBytes({ slices, groups, bias }: LinearWeights): number {
  return total(slices.map(({ range }) => range.size)) + groups.size + bias.size;
}

function total(bytes: number[]): number {
  return bytes.reduce((sum, value) => sum + value, 0);
}
