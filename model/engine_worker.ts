/**
 * The worker in which the GPU lives: Deno's waits for the GPU block the thread that makes them.
 *
 * Knows the loop (plan, step, accept) and the messages. Knows no text and no HTTP.
 */
import { type Gpu, GpuError, openGpu } from "../gpu/device.ts";
import { CheckpointError } from "./checkpoint/error.ts";
import type { EngineInfo, GenerateRequest } from "./engine.ts";
import { Falcon } from "./falcon.ts";
import { COUNTERS, type FromWorker, type LoadOptions, type ToWorker } from "./messages.ts";
import { Runner } from "./runner.ts";
import { Scheduler } from "./scheduler.ts";

/** Requests computed together: one, until batches have kernels of their own. */
const SLOTS = 1;

const scope = self as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: (event: MessageEvent<ToWorker>) => void;
};
const post = (message: FromWorker) => scope.postMessage(message);

let scheduler: Scheduler | undefined;
let model: Falcon | undefined;
let wake = () => {};

scope.onmessage = ({ data }) => {
  if (data.type === "load") load(data.options, new Float64Array(data.counters)).catch(unloadable);
  else if (data.type === "cancel") scheduler?.cancel(data.id);
  else if (data.type === "generate") add(data.id, data.request);
  wake();
};

async function load(options: LoadOptions, counters: Float64Array): Promise<void> {
  const started = performance.now();
  const { maxBindingBytes, kvBytes } = options;
  const gpu = await openGpu({ ...(maxBindingBytes !== undefined && { maxBindingBytes }) });
  gpu.lost.then((reason) => post({ type: "lost", reason }));
  model = await Falcon.load(gpu, options.model, {
    slots: SLOTS,
    ...(kvBytes !== undefined && { kvBytes }),
    onProgress: (done, total) => post({ type: "progress", done, total }),
  });
  const { maxRows, maxPicks } = model.state.limits;
  scheduler = new Scheduler(
    { slots: SLOTS, maxRows, maxPicks },
    model.kv,
    (id, event) => post({ type: "event", id, event }),
  );
  const runner = await Runner.create(model, SLOTS);
  const loadSeconds = (performance.now() - started) / 1000;
  post({ type: "ready", info: describe(options.model, model, gpu, loadSeconds) });
  run(model, scheduler, runner, counters).catch((error) => {
    post({ type: "lost", reason: error instanceof Error ? error.message : String(error) });
  });
}

async function run(
  { kv }: Falcon,
  scheduler: Scheduler,
  runner: Runner,
  counters: Float64Array,
): Promise<never> {
  for (;;) {
    const plan = scheduler.plan();
    if (plan) scheduler.accept(await runner.step(plan));
    counters[COUNTERS.running] = scheduler.running;
    counters[COUNTERS.waiting] = scheduler.waiting;
    counters[COUNTERS.rows] = runner.rows;
    counters[COUNTERS.blocksUsed] = kv.blocksUsed;
    counters[COUNTERS.blocksTotal] = kv.blocks;
    if (plan) await breathe();
    else await new Promise<void>((resolve) => wake = resolve);
  }
}

const { port1, port2 } = new MessageChannel();

/** Lets messages in between two steps; a timer would cost 2 ms. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(0);
  });
}

function add(id: number, request: GenerateRequest): void {
  const { config, kv, state } = model!;
  const refuse = (message: string) => post({ type: "refused", id, code: "invalid", message });
  const { prompt, maxNewTokens } = request;
  if (prompt.length === 0) return refuse("The prompt holds no token.");
  const wrong = prompt.find((token) =>
    !Number.isInteger(token) || token < 0 || token >= config.vocabSize
  );
  if (wrong !== undefined) {
    return refuse(`Token ids are below ${config.vocabSize}: the prompt holds ${wrong}.`);
  }
  const most = Math.min(state.limits.maxPositions, kv.blocks * kv.blockTokens);
  if (!(maxNewTokens >= 1) || prompt.length + maxNewTokens > most) {
    return refuse(
      `Prompt and answer hold at most ${most} tokens: ${prompt.length} and ${maxNewTokens} were asked for.`,
    );
  }
  scheduler!.add(id, request);
}

function describe(name: string, model: Falcon, gpu: Gpu, loadSeconds: number): EngineInfo {
  const { config, quantization, state, kv } = model;
  return {
    model: name,
    adapter: gpu.adapter,
    software: gpu.software,
    path: "portable",
    bits: quantization.bits,
    groupSize: quantization.groupSize,
    actOrder: quantization.actOrder,
    vocabSize: config.vocabSize,
    maxPositions: Math.min(state.limits.maxPositions, kv.blocks * kv.blockTokens),
    gpuMemoryBytes: gpu.allocatedBytes,
    loadSeconds,
  };
}

function unloadable(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const isCheckpoint = error instanceof CheckpointError;
  if (!isCheckpoint && !(error instanceof GpuError)) throw error;
  post({ type: "unloadable", message, isCheckpoint });
}
