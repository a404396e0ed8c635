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
import type { Arithmetic } from "./multiply.ts";
import { choosePath, type ChosenPath } from "./path.ts";
import type { Path } from "./path_names.ts";
import { type Limits, rowsThatFit, State } from "./state.ts";
import { type FalconWeights, loadWeights, type Progress } from "./weights.ts";

export interface FalconOptions {
  /** Bytes for the KV cache; by default enough for one sequence of full length. */
  kvBytes?: number;
  /** Sequences with a place in the block tables. */
  slots?: number;
  /** Longest sequence; by default the model's own limit, and never above it. */
  maxPositions?: number;
  /** Tokens of a prompt computed in one step, at most. */
  maxRows?: number;
  /** Rows that may ask for logits in one step. */
  maxPicks?: number;
  /** The way of one-row steps. Default: auto. */
  path?: Path;
  /** Bytes of a number that steps of several rows multiply with. Default: 2, the accurate way. */
  numberBytes?: Arithmetic["numberBytes"];
  /** Whether rows are computed alike whatever else a step holds, by one family of kernels. */
  deterministic?: boolean;
  /** Workgroups of the persistent path, instead of as many as the GPU runs at once; for tests. */
  workgroups?: number;
  onProgress?: Progress;
}

const DEFAULT_ROWS = 256;
const MAX_PICKS = 8;

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
      const limits = fitLimits(gpu, config, options);
      const blocks = kvBlocks(gpu, config, limits, options.kvBytes);
      const { path = "auto", onProgress, slots = 1, numberBytes = 2 } = options;
      const { deterministic = false } = limits;
      const way = deterministic ? "portable" : path;
      const together = way === "persistent" || (way === "auto" && !gpu.software);
      const weights = await loadWeights(gpu, checkpoint, tensors, onProgress, together);
      const kv = new KvCache(gpu, config, blocks, slots, limits.maxPositions, together);
      const state = new State(gpu, config, limits);
      const arithmetic = { numberBytes, deterministic };
      const forward = await Forward.create(gpu, config, weights, state, kv, arithmetic);
      await settle(gpu);
      const parts = { gpu, config, weights, state, kv, forward };
      const chosen = deterministic
        ? { name: "portable" as const, reason: "deterministic" }
        : await choosePath(parts, way, options.workgroups);
      return new Falcon(gpu, config, quantization, weights, kv, state, forward, chosen);
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

/** How much a step may hold on this GPU. */
export function fitLimits(gpu: Gpu, config: FalconConfig, options: FalconOptions): Limits {
  return {
    maxRows: rowsThatFit(gpu, config, options.maxRows ?? DEFAULT_ROWS),
    maxPicks: options.maxPicks ?? MAX_PICKS,
    maxPositions: Math.min(options.maxPositions ?? config.maxPositions, config.maxPositions),
    deterministic: options.deterministic ?? false,
  };
}

/** @throws {GpuError} when a kernel could not be shown a layer's part of that many blocks. */
function kvBlocks(
  gpu: Gpu,
  config: FalconConfig,
  limits: Limits,
  kvBytes: number | undefined,
): number {
  const blockBytes = BLOCK_TOKENS * kvBytesPerToken(config);
  const blocks = kvBytes === undefined
    ? Math.ceil(limits.maxPositions / BLOCK_TOKENS)
    : Math.max(1, Math.floor(kvBytes / blockBytes));
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
