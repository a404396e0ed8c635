/**
 * The tensors of a synthetic Falcon: random weights in AutoGPTQ's layout.
 *
 * Knows which tensors there are, and how large random weights may be for the model to behave like
 * an initialised transformer: each layer adds about as much as every other, logits have a standard
 * deviation near 2.5, and greedy decoding does not end in one repeated token.
 * Knows neither files nor how random numbers are made.
 */

import { groupCount } from "./checkpoint/quantization.ts";
import type { NewTensor } from "./checkpoint/safetensors_writer.ts";
import {
  evenTable,
  everyLane,
  f16Pieces,
  type F16Table,
  normalTable,
  packedPieces,
  Random,
  spreadDeviation,
  type WeightSpread,
} from "./synth_values.ts";

export interface SynthShape {
  hiddenSize: number;
  layers: number;
  heads: number;
  /** Default: four times the hidden size. */
  ffnSize?: number;
  vocabSize: number;
  /** Default: 2048. */
  maxPositions?: number;
}

export interface SynthModel {
  shape: SynthShape;
  bits: 4 | 8;
  /** A multiple of 32, or 0 for one group a column. The last group may be shorter. */
  groupSize: number;
  /** Whether the inputs of a group are scattered, as when GPTQ sorts them by importance. */
  actOrder: boolean;
  /** Whether all zero points are in the middle (default) or differ by group and column. */
  symmetric?: boolean;
  /** Whether linear layers have a bias, of small values; Falcon's have none, the default. */
  bias?: boolean;
  /** An equal model and seed give equal tensors, however they are dealt out to files. */
  seed: number;
}

/** Standard deviation of the logits: the final norm leaves `hidden` values of variance 1. */
const LOGIT_DEVIATION = 2.5;
/**
 * Standard deviation of each linear layer's weights, times the square root of its inputs. Attention
 * scores come out near 1.4, and a layer adds about 1.6 to each value of the residual.
 */
const GAIN = { qkv: 1.2, dense: 1, up: 1.5, down: 1.5 };
/** Scales differ by this share, so that one read from the wrong place shows. */
const SCALE_VARIATION = 0.25;
const NORM_DEVIATION = { weight: 0.1, bias: 0.05 };
const BIAS_DEVIATION = 0.02;

/** All tensors of the checkpoint, in the order of the model's own parameters. */
export function syntheticTensors(model: SynthModel): NewTensor[] {
  const { hiddenSize, layers, heads, vocabSize } = model.shape;
  const ffnSize = model.shape.ffnSize ?? 4 * hiddenSize;
  const qkvSize = hiddenSize + 2 * hiddenSize / heads;
  const embedding = () => normalTable(0, LOGIT_DEVIATION / Math.sqrt(hiddenSize));
  const tensors = [
    f16Tensor("transformer.word_embeddings.weight", [vocabSize, hiddenSize], embedding, model.seed),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `transformer.h.${layer}`;
    const attention = `${prefix}.self_attention`;
    const mlp = `${prefix}.mlp`;
    const norm = `${prefix}.input_layernorm`;
    const linears: Linear[] = [
      // These two read the same norm's output, so GPTQ sorts their inputs alike.
      {
        name: `${attention}.query_key_value`,
        reads: norm,
        size: [hiddenSize, qkvSize],
        gain: GAIN.qkv,
      },
      {
        name: `${attention}.dense`,
        reads: attention,
        size: [hiddenSize, hiddenSize],
        gain: GAIN.dense,
      },
      { name: `${mlp}.dense_h_to_4h`, reads: norm, size: [hiddenSize, ffnSize], gain: GAIN.up },
      {
        name: `${mlp}.dense_4h_to_h`,
        reads: mlp,
        size: [ffnSize, hiddenSize],
        gain: GAIN.down,
        // GELU's outputs have a mean above 0. Weights that cancel it keep the layers from adding one
        // and the same vector to every token, which would outgrow what tells tokens apart.
        mirrored: true,
      },
    ];
    for (const linear of linears) tensors.push(...linearTensors(linear, model));
    tensors.push(...normTensors(norm, model));
  }
  // Of either sign: else the residual's share of the embedding, which the tied head compares with
  // the embedding again, would make the last token the likeliest next one.
  tensors.push(...normTensors("transformer.ln_f", model, eitherSign));
  return tensors;
}

interface Linear {
  name: string;
  /** Names the vector it reads: one order of importance for all that read it. */
  reads: string;
  /** Inputs and outputs. */
  size: [inFeatures: number, outFeatures: number];
  gain: number;
  mirrored?: boolean;
}

/** Its qweight, qzeros, scales, g_idx and perhaps bias. */
function linearTensors(linear: Linear, model: SynthModel): NewTensor[] {
  const { name, size: [inFeatures, outFeatures], gain } = linear;
  const { bits, groupSize, seed } = model;
  const spread = weightSpread(model);
  const groups = groupCount(inFeatures, groupSize);
  const lanes = 32 / bits;
  const scale = gain / Math.sqrt(inFeatures) / spreadDeviation(spread);
  const scales = () => evenTable(scale * (1 - SCALE_VARIATION), scale * (1 + SCALE_VARIATION));
  const tensors: NewTensor[] = [
    {
      name: `${name}.qweight`,
      dtype: "I32",
      shape: [inFeatures / lanes, outFeatures],
      pieces: () =>
        packedPieces(new Random(seed, `${name}.qweight`), {
          ...spread,
          rows: inFeatures / lanes,
          columns: outFeatures,
          mirrored: linear.mirrored ?? false,
          zeros: model.symmetric ?? true
            ? (_row, packed) => packed.fill(everyLane(2 ** (bits - 1), bits))
            : rowZeros(zeroPoints(linear, model), groupIndex(linear, model), bits),
        }),
    },
    {
      name: `${name}.qzeros`,
      dtype: "I32",
      shape: [groups, outFeatures / lanes],
      pieces: () => [packZeros(zeroPoints(linear, model), bits)],
    },
    f16Tensor(`${name}.scales`, [groups, outFeatures], scales, seed),
    {
      name: `${name}.g_idx`,
      dtype: "I32",
      shape: [inFeatures],
      pieces: () => [new Uint8Array(groupIndex(linear, model).buffer)],
    },
  ];
  if (model.bias) {
    tensors.push(
      f16Tensor(`${name}.bias`, [outFeatures], () => normalTable(0, BIAS_DEVIATION), seed),
    );
  }
  return tensors;
}

/** Beside a zero point that wanders, weights must stay closer to it to fit their bits. */
function weightSpread({ bits, symmetric }: SynthModel): WeightSpread {
  return { bits, reach: 2 ** (symmetric ?? true ? bits - 1 : bits - 2) - 1 };
}

/** The group of each input: its rank by importance (here random), or its place, over the size. */
function groupIndex({ reads, size: [inFeatures] }: Linear, model: SynthModel) {
  const { groupSize, actOrder, seed } = model;
  const ranks = actOrder
    ? new Random(seed, `${reads} order`).permutation(inFeatures)
    : Int32Array.from({ length: inFeatures }, (_, i) => i);
  return ranks.map((rank) => groupSize === 0 ? 0 : Math.floor(rank / groupSize));
}

/** Zero points (groups, out): all in the middle, or anywhere the weights' spread leaves room. */
function zeroPoints({ name, size: [inFeatures, outFeatures] }: Linear, model: SynthModel) {
  const { bits, groupSize, seed, symmetric } = model;
  const zeros = new Uint8Array(groupCount(inFeatures, groupSize) * outFeatures);
  if (symmetric ?? true) return zeros.fill(2 ** (bits - 1));
  const { reach } = weightSpread(model);
  const choices = 2 ** bits - 2 * reach;
  const words = new Int32Array(zeros.length);
  new Random(seed, `${name}.qzeros`).fill(words);
  return zeros.map((_, i) => reach + (words[i]! >>> 16) % choices);
}

/** AutoGPTQ stores a zero point less one, 32 / bits columns a word: (groups, out * bits / 32). */
function packZeros(zeros: Uint8Array, bits: number): Uint8Array<ArrayBuffer> {
  const lanes = 32 / bits;
  const words = new Int32Array(zeros.length / lanes);
  zeros.forEach((zero, i) => words[Math.floor(i / lanes)]! |= (zero - 1) << (bits * (i % lanes)));
  return new Uint8Array(words.buffer);
}

/** The zero points of the inputs that share a row of words, packed as those are: (out). */
function rowZeros(zeros: Uint8Array, groupIndex: Int32Array, bits: number) {
  const lanes = 32 / bits;
  return (row: number, packed: Int32Array) => {
    packed.fill(0);
    for (let lane = 0; lane < lanes; lane++) {
      const start = groupIndex[row * lanes + lane]! * packed.length;
      for (let column = 0; column < packed.length; column++) {
        packed[column]! |= zeros[start + column]! << (bits * lane);
      }
    }
  };
}

function normTensors(
  name: string,
  { shape, seed }: SynthModel,
  change = (table: F16Table) => table,
): NewTensor[] {
  const { weight, bias } = NORM_DEVIATION;
  const weights = () => change(normalTable(1, weight));
  return [
    f16Tensor(`${name}.weight`, [shape.hiddenSize], weights, seed),
    f16Tensor(`${name}.bias`, [shape.hiddenSize], () => normalTable(0, bias), seed),
  ];
}

/** Half of the values negated: the sign is an f16's highest bit. */
function eitherSign(table: F16Table): F16Table {
  return table.map((half, i) => i < table.length / 2 ? half : half ^ 0x8000);
}

/** A tensor whose values are drawn from a table, which is made when they are. */
function f16Tensor(name: string, shape: number[], table: () => F16Table, seed: number): NewTensor {
  const count = shape.reduce((product, dimension) => product * dimension);
  return {
    name,
    dtype: "F16",
    shape,
    pieces: () => f16Pieces(new Random(seed, name), table(), count),
  };
}
