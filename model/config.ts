/**
 * The shape of a Falcon model, as config.json gives it.
 *
 * The only file that holds such numbers. Knows which Falcons Clairon runs, and refuses the others by
 * name before any weight is read. Knows nothing of weights, of quantisation or of the GPU.
 * Defaults are those of Hugging Face's FalconConfig, which are Falcon-7B's.
 */

import { quote, wrong } from "./checkpoint/report.ts";
import { Settings } from "./checkpoint/settings.ts";

export interface FalconConfig {
  /** Width of the residual stream. */
  hiddenSize: number;
  layers: number;
  /** Query heads; keys and values have one head (multi-query attention). */
  heads: number;
  /** hiddenSize / heads: rotary and the KV cache work on this many values. */
  headDim: number;
  /** Width between the two matrices of the MLP. */
  ffnSize: number;
  vocabSize: number;
  layerNormEpsilon: number;
  ropeTheta: number;
  /** Longest context the model was made for, in tokens. */
  maxPositions: number;
  /** null where the model names none. */
  bosTokenId: number | null;
  eosTokenId: number | null;
  /** Whether config.json promises a bias for every linear layer. */
  linearBias?: boolean;
}

/** Kernels read weights 32 inputs at a time. */
const INPUTS_PER_STEP = 32;
/** Rotary and attention kernels hold a head in at most this many values, 8 at a time. */
const LARGEST_HEAD = 128;
const HEAD_STEP = 8;

/** Setting, the only values that run, and why. */
const REFUSALS: readonly [name: string, allowed: readonly unknown[], reason: string][] = [
  ["alibi", [false], "positions are rotary, ALiBi is not supported"],
  ["new_decoder_architecture", [false], "the decoder of Falcon-40B is not supported"],
  ["multi_query", [true], "only multi-query attention is supported"],
  ["parallel_attn", [true], "attention and MLP run in parallel, in sequence is not supported"],
  ["num_ln_in_parallel_attn", [1], "one layer norm feeds attention and MLP"],
  ["apply_residual_connection_post_layernorm", [false], "the residual bypasses the layer norm"],
  ["activation", ["gelu"], "only the exact, erf-based GELU is supported"],
  ["hidden_act", ["gelu"], "only the exact, erf-based GELU is supported"],
];

/**
 * @param json the parsed config.json
 * @param file its path, for errors
 * @throws {CheckpointError} naming the key that is malformed, contradictory or not supported
 */
export function parseFalconConfig(json: unknown, file: string): FalconConfig {
  const settings = new Settings(json, file);
  const type = settings.text("model_type");
  if (type !== "falcon" && type !== "RefinedWebModel") {
    throw wrong(
      file,
      '"model_type"',
      '"falcon" (or its older name "RefinedWebModel")',
      quote(type),
    );
  }
  for (const [name, allowed, reason] of REFUSALS) settings.allow(name, allowed, reason);

  const hiddenSize = settings.whole(1, "hidden_size", "n_embed") ?? 4544;
  const heads = settings.whole(1, "num_attention_heads", "n_head") ?? 71;
  const ffnSize = settings.whole(1, "ffn_hidden_size") ?? 4 * hiddenSize;
  const vocabSize = settings.whole(1, "vocab_size") ?? 65024;
  const config: FalconConfig = {
    hiddenSize,
    layers: settings.whole(1, "num_hidden_layers", "n_layer") ?? 32,
    heads,
    headDim: hiddenSize / heads,
    ffnSize,
    vocabSize,
    layerNormEpsilon: settings.positive("layer_norm_epsilon") ?? 1e-5,
    ropeTheta: readRopeTheta(settings),
    maxPositions: settings.whole(1, "max_position_embeddings") ?? 2048,
    bosTokenId: readTokenId(settings, "bos_token_id", vocabSize),
    eosTokenId: readTokenId(settings, "eos_token_id", vocabSize),
    linearBias: settings.boolean("bias") ?? false,
  };
  checkShape(config, settings);
  return config;
}

function checkShape({ hiddenSize, heads, headDim, ffnSize }: FalconConfig, settings: Settings) {
  const { file } = settings;
  if (!Number.isInteger(headDim)) {
    throw wrong(file, '"hidden_size"', `a multiple of the ${heads} heads`, `${hiddenSize}`);
  }
  if (headDim % HEAD_STEP !== 0 || headDim > LARGEST_HEAD) {
    const expected = `${HEAD_STEP} to ${LARGEST_HEAD} in steps of ${HEAD_STEP}`;
    throw wrong(
      file,
      "the head size (hidden size divided by heads)",
      expected,
      `${hiddenSize} / ${heads} = ${headDim}`,
    );
  }
  const widths: [string, number][] = [["hidden size", hiddenSize], ["MLP size", ffnSize]];
  for (const [name, width] of widths) {
    if (width % INPUTS_PER_STEP !== 0) {
      throw wrong(file, `the ${name}`, `a multiple of ${INPUTS_PER_STEP}`, `${width}`);
    }
  }
  // Hugging Face ignores this key beside multi_query and, where nobody set it, writes the number of
  // query heads there: 71 for Falcon-7B, which has one KV head all the same.
  const kvHeads = settings.whole(1, "num_kv_heads", "n_head_kv") ?? 1;
  if (kvHeads !== 1 && kvHeads !== heads) {
    throw wrong(file, '"num_kv_heads"', "1 (multi-query attention)", `${kvHeads}`);
  }
}

/** The base of the rotary angles, from its own key or from the newer rope_parameters. */
function readRopeTheta(settings: Settings): number {
  let theta = settings.positive("rope_theta");
  for (const name of ["rope_parameters", "rope_scaling"]) {
    const rope = settings.object(name);
    if (rope === undefined) continue;
    for (const key of ["rope_type", "type"]) {
      rope.allow(key, ["default"], "scaled rotary positions are not supported");
    }
    rope.allow("factor", [1], "scaled rotary positions are not supported");
    rope.allow("partial_rotary_factor", [1], "rotary covers the whole head");
    const inner = rope.positive("rope_theta");
    if (theta !== undefined && inner !== undefined && theta !== inner) {
      throw wrong(rope.file, '"rope_theta"', `${theta} as elsewhere in the file`, `${inner}`);
    }
    theta ??= inner;
  }
  return theta ?? 10000;
}

/** An id, the first of a list of ids, or null; Falcon's own where the key is absent. */
function readTokenId(settings: Settings, name: string, vocabSize: number): number | null {
  const value = settings.value(name);
  if (value === undefined) return settings.has(name) || vocabSize <= 11 ? null : 11;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  for (const id of ids) {
    if (!Number.isInteger(id) || Number(id) < 0 || Number(id) >= vocabSize) {
      throw wrong(settings.file, `"${name}"`, `a token id below ${vocabSize}`, quote(id));
    }
  }
  return ids.length === 0 ? null : Number(ids[0]);
}
