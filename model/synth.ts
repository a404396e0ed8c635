/**
 * Synthetic checkpoints: a folder like TheBloke's with random weights, of any Falcon's shape.
 *
 * Knows which files such a folder holds and what the settings in them say. Knows nothing of values
 * (`synth_tensors.ts`) nor of the weights' file format (`checkpoint/safetensors_writer.ts`).
 */

import { join } from "node:path";
import { byteTokenizerJson } from "./byte_tokenizer.ts";
import { parseQuantization } from "./checkpoint/quantization.ts";
import { planShards, tensorBytes, writeShards } from "./checkpoint/safetensors_writer.ts";
import { Settings } from "./checkpoint/settings.ts";
import { parseFalconConfig } from "./config.ts";
import { syntheticTensors, type SynthModel, type SynthShape } from "./synth_tensors.ts";

export type { SynthShape } from "./synth_tensors.ts";

export interface SynthOptions extends SynthModel {
  /** Whether to write a tokenizer.json that spells bytes; needs a vocabulary of 268 or more. */
  tokenizer: boolean;
  /** Most bytes of data in one file. Default: one file for all. */
  shardBytes?: number;
  /** Stops the writing and leaves an unfinished folder behind. */
  signal?: AbortSignal;
}

/**
 * Shapes with a name. "falcon-7b" is Claire's, 4 GB with 4 bits; "tiny" is as odd as that one (its
 * hidden size is a multiple of 64, not of 128) and loads in a moment.
 */
export const SHAPES: Readonly<Record<string, SynthShape>> = {
  "falcon-7b": { hiddenSize: 4544, layers: 32, heads: 71, vocabSize: 65024 },
  tiny: { hiddenSize: 192, layers: 4, heads: 3, vocabSize: 512 },
};

/**
 * Writes the checkpoint into an existing folder that holds none.
 *
 * @param onProgress called with the bytes of weights written and those there will be
 * @throws {CheckpointError} for settings that no Falcon has, before anything is written
 * @throws {RangeError} for a vocabulary too small for the tokenizer, likewise
 * @throws {Deno.errors.AlreadyExists} rather than overwrite a file
 * @throws the reason of `options.signal` when it is aborted
 */
export async function writeSynthetic(
  dir: string,
  options: SynthOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<void> {
  const settings = settingsFiles(options);
  const total = syntheticBytes(options);
  for (const [name, json] of Object.entries(settings)) {
    const text = JSON.stringify(json, null, 2) + "\n";
    await Deno.writeTextFile(join(dir, name), text, { createNew: true });
  }
  let done = 0;
  await writeShards(dir, planShards(syntheticTensors(options), options.shardBytes), {
    onBytes: (bytes) => onProgress?.(done += bytes, total),
    signal: options.signal,
  });
}

/**
 * Bytes of weights that `writeSynthetic` will write.
 *
 * @throws {CheckpointError} for settings that no Falcon has
 * @throws {RangeError} for a vocabulary too small for the tokenizer
 */
export function syntheticBytes(options: SynthOptions): number {
  settingsFiles(options);
  return syntheticTensors(options).reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
}

/** Every file but the weights; refuses what a loader would refuse. */
function settingsFiles(options: SynthOptions): Record<string, unknown> {
  const config = configJson(options);
  const quantization = quantizeConfigJson(options);
  parseFalconConfig(config, "The shape");
  parseQuantization([new Settings(quantization, "The quantisation")], "");
  return {
    "config.json": config,
    "quantize_config.json": quantization,
    ...options.tokenizer && { "tokenizer.json": byteTokenizerJson(options.shape.vocabSize) },
  };
}

/** The keys of Hugging Face's FalconConfig. */
function configJson({ shape, bias }: SynthOptions): Record<string, unknown> {
  return {
    architectures: ["FalconForCausalLM"],
    model_type: "falcon",
    vocab_size: shape.vocabSize,
    hidden_size: shape.hiddenSize,
    ffn_hidden_size: shape.ffnSize ?? 4 * shape.hiddenSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    max_position_embeddings: shape.maxPositions ?? 2048,
    multi_query: true,
    parallel_attn: true,
    new_decoder_architecture: false,
    alibi: false,
    bias: bias ?? false,
    activation: "gelu",
    bos_token_id: 11,
    eos_token_id: 11,
    layer_norm_epsilon: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    torch_dtype: "float16",
    use_cache: true,
  };
}

/** The keys of AutoGPTQ's BaseQuantizeConfig. */
function quantizeConfigJson(options: SynthOptions): Record<string, unknown> {
  return {
    bits: options.bits,
    group_size: options.groupSize === 0 ? -1 : options.groupSize,
    damp_percent: 0.1,
    desc_act: options.actOrder,
    static_groups: false,
    sym: options.symmetric ?? true,
    true_sequential: true,
    model_name_or_path: null,
    model_file_base_name: "model",
  };
}
