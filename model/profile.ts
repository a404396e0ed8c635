/**
 * A model measured without an engine around it: the forward pass alone, and each of its kernels.
 *
 * Knows how to keep the GPU busy and how to wait for it. Knows no sampling, no text and no HTTP, and
 * not how figures are shown.
 */
import { type Gpu, GpuError, openGpu } from "../gpu/device.ts";
import { Readback, readOnce } from "../gpu/readback.ts";
import { PassTimer } from "../gpu/timer.ts";
import { Falcon, settle } from "./falcon.ts";
import type { ActivationForm } from "./activation_names.ts";
import type { ChosenPath } from "./path.ts";
import type { Path } from "./path_names.ts";
import { referenceError } from "./reference_error.ts";
import type { Row, StepShape } from "./state.ts";
import { median } from "./statistics.ts";
import { tokenBytes, type Traffic, traffic } from "./traffic.ts";

export interface ProfileOptions {
  path: Path;
  /** See `FalconOptions`. */
  numbers: ActivationForm;
  deterministic: boolean;
  /** Tokens before the first decoded one; context and `tokens` fit the model's positions. */
  contexts: readonly number[];
  /** Tokens decoded in one run. */
  tokens: number;
  runs: number;
  /** Milliseconds of work before the first run, so that the clocks are up. */
  warmUp: number;
  /** A folder with golden.json, or undefined. */
  reference: string | undefined;
  onProgress: (what: string) => void;
}

export interface KernelTime {
  name: string;
  /** Of all layers together. */
  milliseconds: number;
  /** What it has to read in a step of one row; undefined for what is small or of many rows. */
  bytes: number | undefined;
}

export interface Profile {
  /** The way of the decode steps. */
  path: ChosenPath["name"];
  /** By context. */
  decode: Map<number, { tokensPerSecond: number; bytesPerToken: number }>;
  /** Of a step of one row, after the first context; none without timestamps. */
  decodeKernels: KernelTime[];
  /** Of a step of as many rows as it may have. */
  prefillKernels: { rows: number; kernels: KernelTime[] };
  /** Of the logits, the worst of the reference's prompts. */
  nmse: number | undefined;
}

/**
 * @throws {CheckpointError} for a checkpoint or reference that cannot be used.
 * @throws {GpuError} when the GPU refuses something, or the path breaks off.
 */
export async function profile(dir: string, options: ProfileOptions): Promise<Profile> {
  const gpu = await openGpu();
  try {
    options.onProgress("loading");
    const { path, numbers, deterministic } = options;
    const model = await Falcon.load(gpu, dir, { path, numbers, deterministic });
    return await new Bench(gpu, model, options).run();
  } finally {
    gpu.close();
  }
}

class Bench {
  constructor(
    private readonly gpu: Gpu,
    private readonly model: Falcon,
    private readonly options: ProfileOptions,
  ) {}

  async run(): Promise<Profile> {
    const { model, options: { contexts, tokens, reference, onProgress } } = this;
    const { limits } = model.state;
    let nmse: number | undefined;
    if (reference !== undefined) {
      onProgress("logits against the reference");
      nmse = await referenceError(model, reference);
    }
    model.kv.grow(0, Math.max(...contexts) + tokens);
    const decode: Profile["decode"] = new Map();
    for (const context of contexts) {
      onProgress(`forward pass alone, context ${context}`);
      const seconds = await this.#median(() => this.#decode(context));
      const bytesPerToken = tokenBytes(this.#traffic(context));
      decode.set(context, { tokensPerSecond: tokens / seconds, bytesPerToken });
    }
    onProgress("kernels");
    const [context] = contexts;
    const one = [{ token: 0, position: context, slot: 0 }];
    const decodeKernels = await this.#kernels(one, this.#traffic(context));
    const rows = Math.min(limits.maxRows, Math.max(...contexts) + tokens);
    const many = Array.from({ length: rows }, (_, position) => ({ token: 0, position, slot: 0 }));
    const kernels = await this.#kernels(many);
    await this.#checkPath();
    const path = model.path.name;
    return { path, decode, decodeKernels, prefillKernels: { rows, kernels }, nmse };
  }

  #traffic(context: number): Traffic {
    return traffic(this.model.config, this.model.weights, context);
  }

  async #median(measure: () => Promise<number>): Promise<number> {
    await this.#warmUp(measure);
    const values: number[] = [];
    while (values.length < this.options.runs) values.push(await measure());
    return median(values);
  }

  async #warmUp(work: () => Promise<unknown>): Promise<void> {
    const until = performance.now() + this.options.warmUp;
    do await work(); while (performance.now() < until);
  }

  /** Seconds that `tokens` steps take; their commands are encoded before. */
  async #decode(context: number): Promise<number> {
    const { gpu, model: { forward, state }, options: { tokens } } = this;
    const positions = Array.from({ length: tokens }, (_, i) => context + i);
    const commands = positions.map((position) => this.#step(state.shapeOf(1, 1, position + 1)));
    const done = await Readback.create(gpu, "bench done", 4);
    const last = gpu.device.createCommandEncoder();
    done.copy(last, state.logits, 0, 4);
    await settle(gpu);
    const started = performance.now();
    for (const [i, position] of positions.entries()) {
      forward.upload([{ token: 0, position, slot: 0 }], [0]);
      gpu.device.queue.submit([commands[i]]);
    }
    gpu.device.queue.submit([last.finish()]);
    await done.read(4);
    const seconds = (performance.now() - started) / 1000;
    done.free();
    return seconds;
  }

  #step(shape: StepShape): GPUCommandBuffer {
    const encoder = this.gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.model.forward.encode(pass, shape);
    pass.end();
    return encoder.finish();
  }

  /** Times each kernel in a pass of its own, over all layers; medians of several runs. */
  async #kernels(rows: Row[], bytes?: Traffic): Promise<KernelTime[]> {
    const { gpu, model: { forward }, options: { runs } } = this;
    if (!gpu.timestamps) return [];
    const parts = Object.entries(forward.parts(forward.upload(rows, [rows.length - 1])));
    const timer = await PassTimer.create(gpu, parts.length);
    const measure = async () => {
      forward.upload(rows, [rows.length - 1]);
      const encoder = gpu.device.createCommandEncoder();
      for (const [i, [, encode]] of parts.entries()) {
        const pass = timer.begin(encoder, i);
        encode(pass);
        pass.end();
      }
      timer.resolve(encoder);
      gpu.device.queue.submit([encoder.finish()]);
      return await timer.read();
    };
    await this.#warmUp(measure);
    const times: number[][] = [];
    while (times.length < runs) times.push(await measure());
    timer.free();
    return parts.map(([name], i) => ({
      name,
      milliseconds: median(times.map((run) => run[i])),
      bytes: (bytes as Record<string, number> | undefined)?.[name],
    }));
  }

  async #checkPath(): Promise<void> {
    const broken = this.model.forward.persistent?.broken;
    if (!broken) return;
    const { buffer, offset } = broken;
    const words = new Uint32Array(await readOnce(this.gpu, buffer, offset + 4));
    if (words[offset / 4] !== 0) {
      throw new GpuError("The persistent path broke off: its workgroups did not meet.");
    }
  }
}
