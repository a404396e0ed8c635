/**
 * Which way a one-row step goes: the portable path, which any GPU runs, or the persistent one.
 *
 * Knows how a path is chosen and what it has to show first. Knows no kernel.
 */
import { type Gpu, GpuError } from "../gpu/device.ts";
import { readOnce } from "../gpu/readback.ts";
import type { FalconConfig } from "./config.ts";
import type { Forward } from "./forward.ts";
import type { KvCache } from "./kv_cache.ts";
import { fasterPath, timePaths } from "./path_times.ts";
import { PathError, PersistentLayers } from "./persistent_layers.ts";
import type { State } from "./state.ts";
import type { Path } from "./path_names.ts";
import type { FalconWeights } from "./weights.ts";

export interface ChosenPath {
  name: "portable" | "persistent";
  /** Why that one, in words: what was asked for, what is missing, or how long tokens take. */
  reason: string;
}

/** Bound on the NMSE between the logits of both paths. */
const AGREEMENT = 1e-5;
/** Places in a sequence that the two paths are compared at: no key, one key, several runs of keys. */
const TRIALS = [0, 1, 700];

interface Parts {
  gpu: Gpu;
  config: FalconConfig;
  weights: FalconWeights;
  state: State;
  kv: KvCache;
  forward: Forward;
}

/** What `choosePath` does in another way for a test. */
interface Trial {
  /** Workgroups of the persistent path, instead of as many as are seen to meet. */
  workgroups?: number | undefined;
  time?: typeof timePaths;
}

/**
 * Sets `forward` on its path. `auto` takes the faster one, by trying, where both work: where the GPU
 * runs enough workgroups at once, and the logits agree. A software adapter is not tried unless
 * `workgroups` are given.
 *
 * @throws {GpuError} when `persistent` was asked for and cannot be had.
 */
export async function choosePath(
  parts: Parts,
  path: Path,
  { workgroups, time = timePaths }: Trial = {},
): Promise<ChosenPath> {
  const { gpu, config, weights, state, kv, forward } = parts;
  if (path === "portable") return { name: "portable", reason: "asked for" };
  if (path === "auto" && gpu.software && workgroups === undefined) {
    return { name: "portable", reason: "workgroups of a software adapter cannot meet" };
  }
  let layers: PersistentLayers | undefined;
  try {
    // A software adapter runs one workgroup after the other.
    const given = workgroups ?? (gpu.software ? 1 : undefined);
    const surroundings = { state, kv, angles: forward.angles };
    layers = await PersistentLayers.create(gpu, config, weights, surroundings, given);
    await prove(parts, layers);
    const held = `${layers.workgroups} workgroups`;
    let chosen: ChosenPath = { name: "persistent", reason: held };
    if (path === "auto") {
      chosen = fasterPath(await time(parts, layers));
      await checkMet(gpu, layers);
      if (chosen.name === "persistent") chosen.reason = `${held}, ${chosen.reason}`;
    }
    if (chosen.name === "persistent") forward.persistent = layers;
    return chosen;
  } catch (error) {
    if (path === "persistent" || !(error instanceof GpuError)) throw error;
    if (error instanceof PathError) return { name: "portable", reason: error.message };
    console.error(`The persistent path cannot be taken: ${error.message}`);
    return { name: "portable", reason: "the GPU refused the persistent one, see the log" };
  } finally {
    if (forward.persistent === undefined) layers?.free();
  }
}

/** @throws {PathError} when workgroups waited in vain since the layers were prepared. */
async function checkMet(gpu: Gpu, { broken: { buffer, offset } }: PersistentLayers) {
  const words = new Uint32Array(await readOnce(gpu, buffer, offset + 4));
  if (words[offset / 4] === 0) return;
  throw new PathError("its workgroups did not meet");
}

/** @throws {PathError} unless both paths agree, at several lengths of context. */
async function prove({ gpu, config, state, kv, forward }: Parts, layers: PersistentLayers) {
  const { maxPositions } = state.limits;
  const positions = new Set(TRIALS.map((position) => Math.min(position, maxPositions - 1)));
  const tokens = Math.min(Math.max(...positions) + 1, kv.blocks * kv.blockTokens);
  kv.grow(0, tokens);
  try {
    for (const position of positions) {
      if (position >= tokens) continue;
      forward.persistent = undefined;
      const expected = await logitsAt(gpu, config, forward, state, position);
      forward.persistent = layers;
      const found = await logitsAt(gpu, config, forward, state, position);
      await checkMet(gpu, layers);
      const error = nmse(found, expected);
      if (!(error <= AGREEMENT)) throw new PathError(`its logits differ (NMSE ${error})`);
    }
  } finally {
    forward.persistent = undefined;
    kv.release(0);
  }
}

async function logitsAt(
  gpu: Gpu,
  { vocabSize }: FalconConfig,
  forward: Forward,
  state: State,
  position: number,
): Promise<Float32Array> {
  const shape = forward.upload([{ token: position % vocabSize, position, slot: 0 }], [0]);
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  forward.encode(pass, shape);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  return new Float32Array(await readOnce(gpu, state.logits, vocabSize * 4));
}

/** Normalised mean square error: sum (found - expected)² / sum expected². */
export function nmse(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (found[i] - expected[i]) ** 2;
    power += expected[i] ** 2;
  }
  return error / power;
}
