/**
 * What a step works on, from its rows to its logits, all made before the first token.
 *
 * Knows sizes, and which steps have which layers' activations; knows no kernel and no order of
 * computation.
 */
import { storageBuffer, uniformFrom } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import { FEW_ROWS } from "../kernels/gptq_tiles.ts";
import { Activations } from "./activations.ts";
import type { FalconConfig } from "./config.ts";

/** One token of one sequence, to be computed in this step. */
export interface Row {
  token: number;
  /** Place in the sequence, from 0. */
  position: number;
  /** The sequence's slot in the block tables. */
  slot: number;
}

/** All that the commands of a step depend on; the numbers they work on are uploaded apart. */
export interface StepShape {
  rows: number;
  /** Rows whose logits are wanted. */
  picks: number;
  /** Runs that the keys of the longest row are cut in. */
  splits: number;
}

/** Keys in a run, or a multiple of it: never more runs than are put together in no time. */
const KEYS_PER_RUN = 64;
/** Of one row's, which every workgroup of `combine_dense` puts together for itself. */
const KEYS_PER_RUN_ALONE = 1024;
const MOST_RUNS = 16;

/** Steps that may follow one without the host. */
export const MOST_CHAINED = 7;
const CHAIN_WORDS = 8;

export interface Limits {
  /** Rows a step may have. */
  maxRows: number;
  /** Rows of a step that may ask for logits. */
  maxPicks: number;
  /** Longest sequence, in tokens. */
  maxPositions: number;
  /** Whether a row is computed in the same order whatever else the step holds. Default: no. */
  deterministic?: boolean;
}

export class State {
  readonly rows: GPUBuffer; // (rows, 4): token, position, start in the block tables, slot
  readonly picked: GPUBuffer; // (picks): rows whose logits are wanted
  readonly x: GPUBuffer; // (rows, hidden): the residual stream
  readonly final: GPUBuffer; // (picks, hidden): final norm of the rows whose logits are wanted
  readonly finalHalves: GPUBuffer; // the same in half precision
  readonly logits: GPUBuffer; // (picks, vocab)
  /** For steps of many rows, in which each layer reuses them. */
  readonly shared: Activations;
  /**
   * For steps of few rows, a set a layer: a buffer that is written for the first time in a step
   * needs no barrier, so that kernels of one layer can overlap.
   */
  readonly few: Activations[];
  readonly rowCount: GPUBuffer; // uniform: rows, picks
  readonly attentionStep: GPUBuffer; // uniform: keys per split, splits
  /** For each step of a chain: what the row is, its token left out, and the attention step. */
  readonly chain: GPUBuffer; // (MOST_CHAINED, 8) words

  constructor(private readonly gpu: Gpu, config: FalconConfig, readonly limits: Limits) {
    const { maxRows, maxPicks, maxPositions } = limits;
    const { hiddenSize, vocabSize } = config;
    const floats = (label: string, count: number) => storageBuffer(gpu, label, count * 4);
    this.rows = floats("rows", maxRows * 4);
    this.picked = floats("picked", maxPicks);
    this.x = floats("x", maxRows * hiddenSize);
    this.final = floats("final", maxPicks * hiddenSize);
    this.finalHalves = storageBuffer(gpu, "final in halves", maxPicks * hiddenSize * 2);
    this.logits = floats("logits", maxPicks * vocabSize);
    const splits = Math.min(MOST_RUNS, Math.ceil(maxPositions / KEYS_PER_RUN));
    const few = Math.min(FEW_ROWS, maxRows);
    // Few rows split their keys over workgroups; many rows fill the GPU without.
    const partials = limits.deterministic ? maxRows * splits : Math.max(maxRows, few * splits);
    this.shared = new Activations(gpu, config, maxRows, partials);
    this.few = Array.from(
      { length: config.layers },
      () => new Activations(gpu, config, few, few * splits),
    );
    this.rowCount = uniformFrom(gpu, "row count", new Uint32Array(4));
    this.attentionStep = uniformFrom(gpu, "attention step", new Uint32Array(4));
    this.chain = floats("chain", MOST_CHAINED * CHAIN_WORDS);
  }

  /** The work of a step whose longest sequence will hold `longest` tokens. */
  shapeOf(rows: number, picks: number, longest: number): StepShape {
    return { rows, picks, splits: Math.ceil(longest / this.#run(rows, longest)) };
  }

  /** Uploads what a step is about: its rows, and which of them want logits. */
  upload(rows: readonly Row[], picks: readonly number[], tableWidth: number): StepShape {
    const { queue } = this.gpu.device;
    const words = rows.flatMap((r) => [r.token, r.position, r.slot * tableWidth, r.slot]);
    const longest = rows.reduce((most, row) => Math.max(most, row.position), 0) + 1;
    const shape = this.shapeOf(rows.length, picks.length, longest);
    const attentionStep = [this.#run(rows.length, longest), shape.splits];
    queue.writeBuffer(this.rows, 0, new Uint32Array(words));
    queue.writeBuffer(this.rowCount, 0, new Uint32Array([rows.length, picks.length]));
    queue.writeBuffer(this.attentionStep, 0, new Uint32Array(attentionStep));
    if (picks.length > 0) queue.writeBuffer(this.picked, 0, new Uint32Array(picks));
    return shape;
  }

  /** Uploads what the steps are about that follow the one of `row`, at the positions after its. */
  uploadChain({ position, slot }: Row, length: number, tableWidth: number): void {
    const words = Array.from({ length }, (_, i) => {
      const next = position + 1 + i;
      const { splits } = this.shapeOf(1, 1, next + 1);
      return [0, next, slot * tableWidth, slot, this.#run(1, next + 1), splits, 0, 0];
    });
    this.gpu.device.queue.writeBuffer(this.chain, 0, new Uint32Array(words.flat()));
  }

  /** Encodes that the step after the i-th of a chain computes the token lying in `sampled`. */
  encodeChained(encoder: GPUCommandEncoder, i: number, sampled: GPUBuffer, slot: number): void {
    const at = i * CHAIN_WORDS * 4;
    encoder.copyBufferToBuffer(sampled, slot * 4, this.rows, 0, 4);
    encoder.copyBufferToBuffer(this.chain, at + 4, this.rows, 4, 12);
    encoder.copyBufferToBuffer(this.chain, at + 16, this.attentionStep, 0, 8);
  }

  /** Keys in a run. */
  #run(rows: number, longest: number): number {
    const { maxPositions, deterministic } = this.limits;
    if (deterministic) return KEYS_PER_RUN * Math.ceil(maxPositions / (KEYS_PER_RUN * MOST_RUNS));
    if (rows > FEW_ROWS) return maxPositions;
    const least = rows === 1 ? KEYS_PER_RUN_ALONE : KEYS_PER_RUN;
    return least * Math.ceil(longest / (least * MOST_RUNS));
  }
}

/** Rows a step may have so that every activation fits one binding. */
export function rowsThatFit(gpu: Gpu, config: FalconConfig, wanted: number): number {
  const widest = Math.max(config.ffnSize, (config.heads + 2) * (config.headDim + 2));
  return Math.max(1, Math.min(wanted, Math.floor(gpu.maxBindingBytes / (widest * 4))));
}
