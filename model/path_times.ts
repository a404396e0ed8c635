/**
 * How long a token takes on either path, and which path is taken for it.
 *
 * Knows how to keep a GPU's clocks up, and what counts as equally fast. Knows no kernel, and not
 * whether what a path computes is right.
 */
import type { Gpu } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import { PassTimer } from "../gpu/timer.ts";
import type { Forward } from "./forward.ts";
import type { KvCache } from "./kv_cache.ts";
import type { PersistentLayers } from "./persistent_layers.ts";
import { MOST_CHAINED, type State } from "./state.ts";
import { median } from "./statistics.ts";

/** Milliseconds a token. */
export type PathTimes = Record<"portable" | "persistent", number>;

/** Tokens of a sequence, the timed one included: a dialogue of middle length. */
const CONTEXT = 512;
/** Tokens a submit: as many as the engine chains, so that none waits for the host. */
const STEPS = MOST_CHAINED + 1;
/** Milliseconds of the same work before, since clocks fall while kernels compile. */
const WARM_UP = 250;
const ROUNDS = 5;
/** Milliseconds after which no round begins, where tokens take long. */
const LONGEST = 450;
/** By how much the persistent path must be faster: the portable one needs no workgroups to meet. */
const MARGIN = 1.03;

interface Timed {
  gpu: Gpu;
  state: State;
  kv: KvCache;
  forward: Forward;
}

/**
 * Computes one token again and again, on both paths in turn; medians of the rounds. Takes about
 * half a second. Slot 0 is empty before and after, and `forward` is left on the portable path.
 *
 * @throws {GpuError} when the GPU reported an error. Whether all workgroups met is not looked at:
 * `layers.broken` tells it afterwards, of all rounds together.
 */
export async function timePaths(
  { gpu, state, kv, forward }: Timed,
  layers: PersistentLayers,
): Promise<PathTimes> {
  const tokens = Math.min(CONTEXT, state.limits.maxPositions, kv.blocks * kv.blockTokens);
  kv.grow(0, tokens);
  const watch = await (gpu.timestamps ? gpuWatch(gpu) : hostWatch(gpu, state));
  try {
    // Once for both and for all rounds: the portable path keeps nothing from step to step.
    forward.persistent = layers;
    const shape = forward.upload([{ token: 0, position: tokens - 1, slot: 0 }], [0]);
    const time = (persistent?: PersistentLayers) => {
      forward.persistent = persistent;
      return watch.time((pass) => forward.encode(pass, shape));
    };
    const started = performance.now();
    const until = (milliseconds: number) => performance.now() - started < milliseconds;
    do {
      await time();
      await time(layers);
    } while (until(WARM_UP));
    const rounds = { portable: [] as number[], persistent: [] as number[] };
    do {
      rounds.portable.push(await time());
      rounds.persistent.push(await time(layers));
    } while (rounds.portable.length < ROUNDS && until(LONGEST));
    return { portable: median(rounds.portable), persistent: median(rounds.persistent) };
  } finally {
    forward.persistent = undefined;
    watch.free();
    kv.release(0);
  }
}

/** The path to take, and why in words. */
export function fasterPath(times: PathTimes): { name: keyof PathTimes; reason: string } {
  const { portable, persistent } = times;
  const name = persistent * MARGIN < portable ? "persistent" : "portable";
  const other = name === "portable" ? persistent : portable;
  const close = name === "portable" && persistent < portable ? ", too close to matter" : "";
  return {
    name,
    reason: `${times[name].toFixed(2)} ms a token against ${other.toFixed(2)}${close}`,
  };
}

interface Watch {
  /** Submits `STEPS` steps and waits for them. @returns milliseconds of one */
  time(encode: (pass: GPUComputePassEncoder) => void): Promise<number>;
  free(): void;
}

/** By the GPU's own clock: the host may do something else meanwhile. */
async function gpuWatch(gpu: Gpu): Promise<Watch> {
  const timer = await PassTimer.create(gpu, STEPS);
  return {
    async time(encode) {
      const commands = steps(gpu, (encoder, i) => {
        const pass = timer.begin(encoder, i);
        encode(pass);
        pass.end();
        if (i === STEPS - 1) timer.resolve(encoder);
      });
      gpu.device.queue.submit(commands);
      return median(await timer.read());
    },
    free: () => timer.free(),
  };
}

/** By the host's clock, for a GPU without timestamps. */
async function hostWatch(gpu: Gpu, { logits }: State): Promise<Watch> {
  const done = await Readback.create(gpu, "path timed", 4);
  return {
    async time(encode) {
      const commands = steps(gpu, (encoder, i) => {
        const pass = encoder.beginComputePass();
        encode(pass);
        pass.end();
        if (i === STEPS - 1) done.copy(encoder, logits, 0, 4);
      });
      const started = performance.now();
      gpu.device.queue.submit(commands);
      await done.read(4);
      return (performance.now() - started) / STEPS;
    },
    free: () => done.free(),
  };
}

/** A command buffer a step, as the engine submits them. */
function steps(gpu: Gpu, encode: (encoder: GPUCommandEncoder, i: number) => void) {
  return Array.from({ length: STEPS }, (_, i) => {
    const encoder = gpu.device.createCommandEncoder();
    encode(encoder, i);
    return encoder.finish();
  });
}
