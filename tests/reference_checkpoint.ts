/**
 * Reads a GPTQ Falcon checkpoint for the float64 reference.
 *
 * Knows GPTQ's bit packing, the files a checkpoint may consist of and Falcon's tensor names. Knows nothing of the
 * forward pass, and shares no code with the program: it is the other opinion in every test.
 */

import { floats, ints, readSafetensors, type Tensor } from "./safetensors.ts";

/** Sizes in paper notation: V vocabulary, D hidden, H heads, d head, F feed-forward. */
export interface Config {
  vocab: number; // V
  hidden: number; // D
  layers: number;
  heads: number; // H
  headDim: number; // d = D / H
  ffn: number; // F
  epsilon: number;
  ropeTheta: number;
}

/** A quantised matrix: weight[k, n] = scales[group[k], n] * (q[k, n] - zeros[group[k], n]). */
export interface Linear {
  inFeatures: number; // K
  outFeatures: number; // N
  bits: number; // 4 or 8; P = 32 / bits values a word
  qweight: Int32Array; // [K / P, N], lowest bits first along K
  scales: Float32Array; // [G, N]
  zeros: Int16Array; // [G, N], as subtracted: the stored "minus one" is already undone
  group: Int32Array; // [K]
  bias?: Float64Array; // [N]
}

export interface Norm {
  weight: Float64Array; // [D]
  bias: Float64Array; // [D]
}

export interface Layer {
  norm: Norm;
  queryKeyValue: Linear; // D -> (H + 2) d
  dense: Linear; // D -> D
  up: Linear; // dense_h_to_4h, D -> F
  down: Linear; // dense_4h_to_h, F -> D
}

export interface Weights {
  config: Config;
  embedding: Float16Array | Float32Array; // [V, D], the head as well
  layers: Layer[];
  finalNorm: Norm;
}

type Json = Record<string, unknown>;

/** What a quantised matrix is built from; kernel tests make their own. */
export interface LinearParts {
  bits: number;
  /** Rows of one group; -1 for one group. Used only where `groupIndex` is absent. */
  groupSize: number;
  /** gptq_v2 stores zeros as they are, gptq stores them minus one. */
  v2: boolean;
  qweight: Int32Array; // [K / P, N]
  qzeros: Int32Array; // [G, N / P], lowest bits first along N
  scales: Float16Array | Float32Array; // [G, N]
  groupIndex?: Int32Array | undefined; // [K]
  bias?: Float16Array | Float32Array | undefined; // [N]
  outFeatures: number; // N
}

/** Unpacks zeros and group indices; the weights stay packed. */
export function buildLinear(parts: LinearParts): Linear {
  const { bits, groupSize, qweight, qzeros, outFeatures } = parts;
  const perWord = 32 / bits, mask = 2 ** bits - 1;
  const inFeatures = qweight.length / outFeatures * perWord;
  const zeros = new Int16Array(parts.scales.length);
  for (let i = 0; i < zeros.length; i++) {
    // N is a multiple of P, so the flat index i runs through the words in order.
    const stored = (qzeros[Math.floor(i / perWord)]! >>> bits * (i % perWord)) & mask;
    zeros[i] = parts.v2 ? stored : stored + 1; // not masked: a stored 15 means 16
  }
  return {
    inFeatures,
    outFeatures,
    bits,
    qweight,
    scales: Float32Array.from(parts.scales),
    zeros,
    group: parts.groupIndex ??
      Int32Array.from({ length: inFeatures }, (_, k) => groupSize < 0 ? 0 : k / groupSize),
    ...(parts.bias && { bias: Float64Array.from(parts.bias) }),
  };
}

/**
 * Loads a checkpoint folder: one file, shards behind an index, or `gptq_model-*.safetensors`.
 *
 * @throws {Error} for a missing file or tensor, an unsupported Falcon variant, or a head that
 * differs from the embedding.
 */
export async function loadWeights(dir: string): Promise<Weights> {
  const json = await readJson(`${dir}/config.json`);
  if (!json) throw new Error(`no config.json in ${dir}`);
  const config = parseConfig(json);
  const quantization = (json["quantization_config"] as Json | undefined) ??
    await readJson(`${dir}/quantize_config.json`) ?? await readJson(`${dir}/quant_config.json`);
  if (!quantization) throw new Error(`no quantisation settings in ${dir}`);
  const bits = (quantization["bits"] ?? quantization["w_bit"]) as number;
  const groupSize = (quantization["group_size"] ?? quantization["q_group_size"]) as number;
  const v2 = quantization["checkpoint_format"] === "gptq_v2";

  const tensors = new Map<string, Tensor>();
  for (const name of await weightFiles(dir, quantization)) {
    for (const entry of await readSafetensors(`${dir}/${name}`)) tensors.set(...entry);
  }
  function need(name: string): Tensor {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`tensor ${name} is missing in ${dir}`);
    return tensor;
  }
  function norm(name: string): Norm {
    return {
      weight: Float64Array.from(floats(need(`${name}.weight`))),
      bias: Float64Array.from(floats(need(`${name}.bias`))),
    };
  }
  function linear(name: string): Linear {
    const groupIndex = tensors.get(`${name}.g_idx`), bias = tensors.get(`${name}.bias`);
    const qweight = need(`${name}.qweight`);
    return buildLinear({
      bits,
      groupSize,
      v2,
      qweight: ints(qweight),
      qzeros: ints(need(`${name}.qzeros`)),
      scales: floats(need(`${name}.scales`)),
      groupIndex: groupIndex && ints(groupIndex),
      bias: bias && floats(bias),
      outFeatures: qweight.shape[1]!,
    });
  }
  const embedding = tensors.get("transformer.word_embeddings.weight");
  const head = tensors.get("lm_head.weight") ?? need("transformer.word_embeddings.weight");
  if (embedding && head.bytes.some((byte, i) => byte !== embedding.bytes[i])) {
    throw new Error(`lm_head.weight differs from the embedding in ${dir}`);
  }
  return {
    config,
    embedding: floats(head),
    layers: Array.from({ length: config.layers }, (_, i) => ({
      norm: norm(`transformer.h.${i}.input_layernorm`),
      queryKeyValue: linear(`transformer.h.${i}.self_attention.query_key_value`),
      dense: linear(`transformer.h.${i}.self_attention.dense`),
      up: linear(`transformer.h.${i}.mlp.dense_h_to_4h`),
      down: linear(`transformer.h.${i}.mlp.dense_4h_to_h`),
    })),
    finalNorm: norm("transformer.ln_f"),
  };
}

function parseConfig(json: Json): Config {
  const variant: Json = { new_decoder_architecture: false, alibi: false };
  Object.assign(variant, { multi_query: true, parallel_attn: true, rope_scaling: null });
  for (const [key, expected] of Object.entries(variant)) {
    const found = json[key] ?? expected;
    if (found !== expected) throw new Error(`config.json: ${key} is ${found}, not ${expected}`);
  }
  const hidden = (json["hidden_size"] ?? json["n_embed"]) as number;
  const heads = (json["num_attention_heads"] ?? json["n_head"]) as number;
  return {
    vocab: json["vocab_size"] as number,
    hidden,
    layers: (json["num_hidden_layers"] ?? json["n_layer"]) as number,
    heads,
    headDim: hidden / heads,
    ffn: (json["ffn_hidden_size"] ?? 4 * hidden) as number,
    epsilon: (json["layer_norm_epsilon"] ?? 1e-5) as number,
    ropeTheta: (json["rope_theta"] ?? 10000) as number,
  };
}

async function weightFiles(dir: string, quantization: Json): Promise<string[]> {
  const names = Array.from(Deno.readDirSync(dir), (entry) => entry.name);
  const base = `${quantization["model_file_base_name"] ?? "model"}.safetensors`;
  for (const name of ["model.safetensors", base]) if (names.includes(name)) return [name];
  const index = await readJson(`${dir}/model.safetensors.index.json`);
  if (index) return [...new Set(Object.values(index["weight_map"] as Record<string, string>))];
  const named = names.find((name) => /^gptq_model-.*\.safetensors$/.test(name));
  if (named) return [named];
  throw new Error(`no weights in ${dir}: found ${names.sort().join(", ")}`);
}

async function readJson(path: string): Promise<Json | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
