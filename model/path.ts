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
import { PersistentLayers } from "./persistent_layers.ts";
import type { State } from "./state.ts";
import type { Path } from "./path_names.ts";
import type { FalconWeights } from "./weights.ts";

export interface ChosenPath {
  name: "portable" | "persistent";
  /** Why it is not the persistent one, or how many workgroups that has. */
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

/**
 * Sets `forward` on its path. `auto` takes the persistent one where it works: the GPU runs enough
 * workgroups at once, and the logits agree with the portable path's.
 *
 * @param workgroups of the persistent path, instead of as many as are seen to meet; for tests
 * @throws {GpuError} when `persistent` was asked for and cannot be had.
 */
export async function choosePath(
  parts: Parts,
  path: Path,
  workgroups?: number,
): Promise<ChosenPath> {
  const { gpu, config, weights, state, kv, forward } = parts;
  if (path === "portable") return { name: "portable", reason: "asked for" };
  if (path === "auto" && gpu.software) {
    return { name: "portable", reason: "workgroups of a software adapter cannot meet" };
  }
  try {
    // A software adapter runs one workgroup after the other.
    const given = workgroups ?? (gpu.software ? 1 : undefined);
    const surroundings = { state, kv, angles: forward.angles };
    const layers = await PersistentLayers.create(gpu, config, weights, surroundings, given);
    await prove(parts, layers);
    forward.persistent = layers;
    return { name: "persistent", reason: `${layers.workgroups} workgroups` };
  } catch (error) {
    if (path === "persistent" || !(error instanceof GpuError)) throw error;
    return { name: "portable", reason: error.message };
  }
}

/** @throws {GpuError} unless both paths agree, at several lengths of context. */
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
      const { buffer, offset } = layers.broken;
      const [broken] = new Uint32Array(await readOnce(gpu, buffer, offset + 4)).slice(offset / 4);
      const error = nmse(found, expected);
      if (broken !== 0 || !(error <= AGREEMENT)) {
        const what = broken ? "its workgroups did not meet" : `its logits differ (NMSE ${error})`;
        throw new GpuError(`The persistent path cannot be taken: ${what}.`);
      }
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
