/**
 * The tensors of a Falcon, found in a checkpoint and checked against its settings.
 *
 * The only file that knows the names and shapes that a GPTQ Falcon has. Knows nothing of what is done
 * with the weights; apart from comparing two copies of the embedding it reads none.
 */

import { Buffer } from "node:buffer";
import type { FalconConfig } from "../config.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { groupCount } from "./quantization.ts";
import { oneOf, quote, shapeText, wrong } from "./report.ts";
import type { Dtype, TensorInfo } from "./safetensors.ts";

/** A quantised matrix. Words hold 32 / bits values, the lowest bits first. */
export interface Linear {
  name: string;
  inFeatures: number;
  outFeatures: number;
  /** The last group may hold fewer inputs than the others. */
  groups: number;
  qweight: TensorInfo; // I32 (in * bits / 32, out)
  qzeros: TensorInfo; // I32 (groups, out * bits / 32)
  scales: TensorInfo; // F16, BF16 or F32 (groups, out)
  /** The group of each input; without it, groups follow the inputs in order. */
  gIdx: TensorInfo | undefined; // I32 (in)
  bias: TensorInfo | undefined; // F16, BF16 or F32 (out)
}

export interface Norm {
  weight: TensorInfo; // (hidden)
  bias: TensorInfo; // (hidden)
}

export interface FalconLayer {
  norm: Norm;
  /** Query heads, then the key, then the value: (hidden) to (hidden + 2 * headDim). */
  qkv: Linear;
  dense: Linear; // (hidden) to (hidden)
  up: Linear; // (hidden) to (ffn)
  down: Linear; // (ffn) to (hidden)
}

export interface FalconTensors {
  /** Also the head: logits = hidden * embedding^T. */
  embedding: TensorInfo; // (vocab, hidden)
  finalNorm: Norm;
  layers: FalconLayer[];
}

const FLOATS: readonly Dtype[] = ["F16", "BF16", "F32"];
const WORDS: readonly Dtype[] = ["I32"];
const EMBEDDING = "transformer.word_embeddings.weight";
const HEAD = "lm_head.weight";
/** Bytes compared at a time. */
const COMPARE_BYTES = 4 << 20;

/**
 * Finds every tensor that the forward pass needs, before any weight is uploaded.
 * Tensors that no Falcon needs (old files hold rotary tables) are ignored.
 *
 * @throws {CheckpointError} naming the tensor that is missing, misshapen or contradicts config.json
 */
export async function findFalconTensors(checkpoint: Checkpoint): Promise<FalconTensors> {
  const { config } = checkpoint;
  const finder = new Finder(checkpoint);
  finder.refuseQuantisedHead();
  const finalNorm = finder.norm("transformer.ln_f");
  const layers: FalconLayer[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    layers.push(finder.layer(`transformer.h.${layer}`));
  }
  finder.refuseFurtherLayers();
  return { embedding: await findEmbedding(checkpoint, finder), finalNorm, layers };
}

/** Looks tensors up by name, each with the dtype and shape that it must have. */
class Finder {
  readonly #checkpoint: Checkpoint;
  readonly #config: FalconConfig;

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
    this.#config = checkpoint.config;
  }

  layer(prefix: string): FalconLayer {
    const { hiddenSize, headDim, ffnSize } = this.#config;
    return {
      norm: this.norm(`${prefix}.input_layernorm`),
      qkv: this.#linear(
        `${prefix}.self_attention.query_key_value`,
        hiddenSize,
        hiddenSize + 2 * headDim,
      ),
      dense: this.#linear(`${prefix}.self_attention.dense`, hiddenSize, hiddenSize),
      up: this.#linear(`${prefix}.mlp.dense_h_to_4h`, hiddenSize, ffnSize),
      down: this.#linear(`${prefix}.mlp.dense_4h_to_h`, ffnSize, hiddenSize),
    };
  }

  norm(name: string): Norm {
    const shape = [this.#config.hiddenSize];
    return {
      weight: this.need(`${name}.weight`, FLOATS, shape),
      bias: this.need(`${name}.bias`, FLOATS, shape),
    };
  }

  need(name: string, dtypes: readonly Dtype[], shape: readonly number[]): TensorInfo {
    const tensor = this.find(name, dtypes, shape);
    if (tensor !== undefined) return tensor;
    const expected = `${oneOf(dtypes)} of shape ${shapeText(shape)}`.replaceAll('"', "");
    throw wrong(this.#checkpoint.dir, `tensor ${quote(name)}`, expected, "no such tensor");
  }

  find(
    name: string,
    dtypes: readonly Dtype[],
    shape: readonly number[],
  ): TensorInfo | undefined {
    const tensor = this.#checkpoint.tensors.get(name);
    if (tensor === undefined) return undefined;
    const sameShape = tensor.shape.length === shape.length &&
      tensor.shape.every((size, dimension) => size === shape[dimension]);
    if (sameShape && dtypes.includes(tensor.dtype)) return tensor;
    const expected = `${oneOf(dtypes)} of shape ${shapeText(shape)}`.replaceAll('"', "");
    const found = `${tensor.dtype} of shape ${shapeText(tensor.shape)}`;
    throw wrong(tensor.path, `tensor ${quote(name)}`, `${expected} as the settings say`, found);
  }

  refuseQuantisedHead(): void {
    const tensor = this.#checkpoint.tensors.get("lm_head.qweight");
    if (tensor === undefined) return;
    throw wrong(tensor.path, "the head", "a plain lm_head.weight", "a quantised lm_head.qweight");
  }

  /** More layers than config.json says would be left out without a word. */
  refuseFurtherLayers(): void {
    const { layers } = this.#config;
    for (const { name, path } of this.#checkpoint.tensors.values()) {
      const layer = /^transformer\.h\.(\d+)\./.exec(name)?.[1];
      if (layer === undefined || Number(layer) < layers) continue;
      const expected = `of layers 0 to ${layers - 1} ("num_hidden_layers" is ${layers})`;
      throw wrong(path, "every tensor", expected, `tensor ${quote(name)}`);
    }
  }

  #linear(name: string, inFeatures: number, outFeatures: number): Linear {
    const { bits, groupSize, actOrder } = this.#checkpoint.quantization;
    const groups = groupCount(inFeatures, groupSize);
    const perWord = 32 / bits;
    const gIdx = this.find(`${name}.g_idx`, WORDS, [inFeatures]);
    if (gIdx === undefined && actOrder) this.need(`${name}.g_idx`, WORDS, [inFeatures]);
    const bias = this.find(`${name}.bias`, FLOATS, [outFeatures]);
    if (bias === undefined && this.#config.linearBias) {
      this.need(`${name}.bias`, FLOATS, [outFeatures]);
    }
    return {
      name,
      inFeatures,
      outFeatures,
      groups,
      qweight: this.need(`${name}.qweight`, WORDS, [inFeatures / perWord, outFeatures]),
      qzeros: this.need(`${name}.qzeros`, WORDS, [groups, outFeatures / perWord]),
      scales: this.need(`${name}.scales`, FLOATS, [groups, outFeatures]),
      gIdx,
      bias,
    };
  }
}

/** The one matrix that is embedding and head, under either name or under both. */
async function findEmbedding(checkpoint: Checkpoint, finder: Finder): Promise<TensorInfo> {
  const { vocabSize, hiddenSize } = checkpoint.config;
  const shape = [vocabSize, hiddenSize];
  for (const name of [EMBEDDING, HEAD]) {
    const tensor = checkpoint.tensors.get(name);
    if (tensor === undefined || tensor.shape[0] === vocabSize) continue;
    const expected = `${vocabSize} rows long as "vocab_size" in config.json says`;
    throw wrong(tensor.path, `tensor "${name}"`, expected, `shape ${shapeText(tensor.shape)}`);
  }
  const head = finder.find(HEAD, FLOATS, shape);
  const embedding = finder.find(EMBEDDING, FLOATS, shape) ?? head;
  if (embedding === undefined) return finder.need(EMBEDDING, FLOATS, shape);
  if (head === undefined || head === embedding) return embedding;
  if (head.dtype !== embedding.dtype || !(await sameBytes(checkpoint, embedding, head))) {
    throw wrong(
      head.path,
      `tensor "${HEAD}"`,
      `a copy of "${EMBEDDING}" (an untied head is not supported)`,
      "other values",
    );
  }
  return embedding;
}

async function sameBytes(checkpoint: Checkpoint, a: TensorInfo, b: TensorInfo): Promise<boolean> {
  const chunk = new Uint8Array(COMPARE_BYTES);
  const otherChunk = new Uint8Array(COMPARE_BYTES);
  for await (const { bytes, offset } of checkpoint.chunks(a, chunk)) {
    const other = checkpoint.chunks(b, otherChunk, offset, offset + bytes.length);
    for await (const piece of other) {
      if (Buffer.compare(bytes, piece.bytes) !== 0) return false;
    }
  }
  return true;
}
