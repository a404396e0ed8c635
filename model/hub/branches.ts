/**
 * Claire's branches on the hub, as their card lists them, with what each costs.
 *
 * Knows their names and formats. Sizes are computed: on disk from the tensors that such a file holds
 * (the card prints only the first shard of the 8-bit branches), on the GPU from our own layout.
 */
import { parseFalconConfig } from "../config.ts";
import { gpuBytes } from "../memory.ts";
import { SHAPES, syntheticBytes } from "../synth.ts";

export interface Branch {
  revision: string;
  bits: 4 | 8;
  /** 0 for one group. */
  groupSize: number;
}

/** All of them have act-order, and 2048 tokens of context. */
export const BRANCHES: readonly Branch[] = [
  { revision: "main", bits: 4, groupSize: 128 },
  { revision: "gptq-4bit-64g-actorder_True", bits: 4, groupSize: 64 },
  { revision: "gptq-4bit-32g-actorder_True", bits: 4, groupSize: 32 },
  { revision: "gptq-8bit--1g-actorder_True", bits: 8, groupSize: 0 },
  { revision: "gptq-8bit-128g-actorder_True", bits: 8, groupSize: 128 },
  { revision: "gptq-8bit-32g-actorder_True", bits: 8, groupSize: 32 },
];

/** Bytes of the weights' files: every matrix has a bias of zeros, the head is the embedding. */
export function diskBytes({ bits, groupSize }: Branch): number {
  const shape = SHAPES["falcon-7b"]!;
  const format = { bits, groupSize, actOrder: true, bias: true };
  return syntheticBytes({ shape, ...format, seed: 0, tokenizer: false });
}

/** Bytes of GPU memory with one context of 2048 tokens, the driver's own not counted. */
export function memoryBytes(branch: Branch): number {
  return gpuBytes(parseFalconConfig({ model_type: "falcon" }, "Claire"), branch);
}
