/**
 * A model ready to run: checkpoint, weights, KV cache, activations and forward pass together.
 *
 * Knows in which order things are checked and made, and how much memory goes where. Knows no
 * requests, no sampling and no text.
 */
import { type Gpu, GpuError } from "../gpu/device.ts";
import { openCheckpoint } from "./checkpoint/checkpoint.ts";
import { findFalconTensors } from "./checkpoint/falcon_tensors.ts";
import type { Quantization } from "./checkpoint/quantization.ts";
import type { FalconConfig } from "./config.ts";
import { Forward } from "./forward.ts";
import { BLOCK_TOKENS, kvBytesPerToken, KvCache } from "./kv_cache.ts";
import { defaultKvBytes } from "./kv_size.ts";
import type { Arithmetic } from "./multiply.ts";
import { choosePath, type ChosenPath } from "./path.ts";
import type { Path } from "./path_names.ts";
import { type Limits, rowsThatFit, State } from "./state.ts";
import { type FalconWeights, loadWeights, type Progress } from "./weights.ts";

export interface FalconOptions {
  /** Bytes for the KV cache; by default what `kv_size.ts` says, for one slot one full length. */
  kvBytes?: number;
  /** Memory of the card that the GPU is on, where it is known. */
  cardBytes?: number;
  /** Sequences computed together, at most; fewer where the GPU cannot be shown their logits. */
  slots?: number;
  /** Longest sequence; by default the model's own limit, and never above it. */
  maxPositions?: number;
  /** Tokens of a prompt computed in one step, at most. */
  maxRows?: number;
  /** The way of one-row steps. Default: auto. */
  path?: Path;
  /** What steps of several rows multiply. Default: "int16". */
  numbers?: Arithmetic["numbers"];
  /** Whether rows are computed alike whatever else a step holds, by one family of kernels. */
  deterministic?: boolean;
  /** Workgroups of the persistent path, instead of as many as the GPU runs at once; for tests. */
  workgroups?: number;
  onProgress?: Progress;
}

const DEFAULT_ROWS = 256;
/** Rows that may ask for logits in one step, where fewer sequences than that are computed. */
const LEAST_PICKS = 8;

export class Falcon {
  private constructor(
    readonly gpu: Gpu,
    readonly config: FalconConfig,
    readonly quantization: Quantization,
    readonly weights: FalconWeights,
    readonly kv: KvCache,
    readonly state: State,
    readonly forward: Forward,
    readonly path: ChosenPath,
    /** Sequences that can be computed together. */
    readonly slots: number,
  ) {}

  /**
   * Loads the checkpoint in `dir`; everything is checked before the first weight is read.
   *
   * @throws {CheckpointError} for a checkpoint that is damaged or that we do not run.
   * @throws {GpuError} when the GPU refuses something, for lack of memory say.
   */
  static async load(gpu: Gpu, dir: string, options: FalconOptions = {}): Promise<Falcon> {
    const checkpoint = await openCheckpoint(dir);
    try {
      const { config, quantization } = checkpoint;
      const tensors = await findFalconTensors(checkpoint);
      const { slots, ...limits } = fitLimits(gpu, config, options);
      const { path = "auto", onProgress, kvBytes, cardBytes, numbers = "int16" } = options;
      const { deterministic = false } = limits;
      const way = deterministic ? "portable" : path;
      // What cannot be is refused before the weights are read.
      if (numbers === "f16" && !gpu.halves) {
        throw new GpuError(
          "This GPU cannot compute in half precision, which activations as f16 ask for: take int16.",
        );
      }
      if (kvBytes !== undefined) kvBlocks(gpu, config, kvBytes);
      const tried = way === "auto" && (!gpu.software || options.workgroups !== undefined);
      const together = way === "persistent" || tried;
      const weights = await loadWeights(gpu, checkpoint, tensors, onProgress, together);
      const { maxPositions } = limits;
      const { allocatedBytes: takenBytes, maxBindingBytes, software } = gpu;
      const room = { slots, maxPositions, cardBytes, takenBytes, maxBindingBytes, software };
      const blocks = kvBlocks(gpu, config, kvBytes ?? defaultKvBytes(config, room));
      const kv = new KvCache(gpu, config, blocks, slots, maxPositions, together);
      const state = new State(gpu, config, limits);
      const arithmetic = { numbers, deterministic };
      const forward = await Forward.create(gpu, config, weights, state, kv, arithmetic);
      await settle(gpu);
      const parts = { gpu, config, weights, state, kv, forward };
      const chosen = deterministic
        ? { name: "portable" as const, reason: "deterministic" }
        : await choosePath(parts, way, { workgroups: options.workgroups });
      return new Falcon(gpu, config, quantization, weights, kv, state, forward, chosen, slots);
    } finally {
      checkpoint.close();
    }
  }
}

/**
 * Waits until the GPU has said what it thinks of everything asked of it: errors come late.
 *
 * @throws {GpuError} with the first error.
 */
export async function settle(gpu: Gpu): Promise<void> {
  await gpu.device.queue.onSubmittedWorkDone();
  gpu.check();
}

/** How much a step may hold on this GPU: every sequence can have its row and its logits in it. */
export function fitLimits(
  gpu: Gpu,
  config: FalconConfig,
  options: FalconOptions,
): Limits & { slots: number } {
  const maxRows = rowsThatFit(gpu, config, options.maxRows ?? DEFAULT_ROWS);
  const logits = Math.max(1, Math.floor(gpu.maxBindingBytes / (config.vocabSize * 4)));
  const slots = Math.min(options.slots ?? 1, maxRows, logits);
  return {
    maxRows,
    maxPicks: Math.min(logits, Math.max(LEAST_PICKS, slots)),
    maxPositions: Math.min(options.maxPositions ?? config.maxPositions, config.maxPositions),
    deterministic: options.deterministic ?? false,
    slots,
  };
}

/** @throws {GpuError} when a kernel could not be shown a layer's part of that many bytes. */
function kvBlocks(gpu: Gpu, config: FalconConfig, bytes: number): number {
  const blockBytes = BLOCK_TOKENS * kvBytesPerToken(config);
  const blocks = Math.max(1, Math.floor(bytes / blockBytes));
  const { maxStorageBufferBindingSize } = gpu.device.limits;
  const most = Math.floor(maxStorageBufferBindingSize / (blockBytes / config.layers));
  if (blocks > most) {
    throw new GpuError(
      `This GPU can hold a KV cache of at most ${most * blockBytes} bytes, ` +
        `${blocks * blockBytes} were asked for.`,
    );
  }
  return blocks;
}
