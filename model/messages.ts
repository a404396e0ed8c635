/**
 * What the two sides of the engine say to each other: the HTTP thread and the GPU's worker.
 *
 * Knows the messages and the shared counters; knows neither side.
 */
import type { Numbers } from "../kernels/activation.ts";
import type { EngineErrorCode, EngineInfo, GenerateRequest, TokenEvent } from "./engine.ts";
import type { Fault } from "./fault.ts";
import type { Path } from "./path_names.ts";

export interface LoadOptions {
  /** The checkpoint's folder. */
  model: string;
  /** Bytes for the KV cache; by default as much as `kv_size.ts` says. */
  kvBytes?: number | undefined;
  /** Sequences computed together; by default many on a GPU, few where a CPU does its work. */
  slots?: number | undefined;
  /** See `GpuOptions`. */
  maxBindingBytes?: number | undefined;
  /** The way of one-row steps; by default the fastest that works. */
  path?: Path | undefined;
  /** See `FalconOptions`. */
  numbers?: Numbers | undefined;
  deterministic?: boolean | undefined;
  /** Tokens that are guessed from the dialogue and verified in one step. Default: none. */
  promptLookup?: number | undefined;
  /** For tests. */
  fault?: Fault | undefined;
}

export type ToWorker =
  | { type: "load"; options: LoadOptions; counters: SharedArrayBuffer }
  | { type: "generate"; id: number; request: GenerateRequest }
  | { type: "cancel"; id: number }
  /** Give the GPU back; "closed" answers. */
  | { type: "close" };

export type FromWorker =
  | { type: "progress"; done: number; total: number }
  | { type: "ready"; info: EngineInfo }
  /** Loading failed; `isCheckpoint` tells a bad checkpoint from a bad GPU. */
  | { type: "unloadable"; message: string; isCheckpoint: boolean }
  /** The request has left the queue. */
  | { type: "begun"; id: number }
  | { type: "event"; id: number; event: TokenEvent }
  | { type: "refused"; id: number; code: EngineErrorCode; message: string }
  | { type: "lost"; reason: string }
  | { type: "closed" };

/** Places in the shared counters: the worker writes, the HTTP thread reads at any time. */
export const COUNTERS = {
  running: 0,
  waiting: 1,
  rows: 2,
  steps: 3,
  blocksUsed: 4,
  blocksTotal: 5,
  prefixQueries: 6,
  prefixHits: 7,
  guessesMade: 8,
  guessesRight: 9,
} as const;
export const COUNTER_BYTES = 8 * Object.keys(COUNTERS).length;
