/**
 * The worker in which the GPU lives: Deno's waits for the GPU block the thread that makes them.
 *
 * Knows the loop (plan, step, accept) and the messages. Knows no text and no HTTP.
 */
import { type Gpu, openGpu } from "../gpu/device.ts";
import { findGraphicsMemory, totalOf } from "../gpu/graphics_memory.ts";
import { CheckpointError } from "./checkpoint/error.ts";
import { type EngineInfo, type GenerateRequest, MAX_TOP_TOKENS } from "./engine.ts";
import { Falcon } from "./falcon.ts";
import { injector } from "./fault.ts";
import { kvBytesPerToken } from "./kv_cache.ts";
import { COUNTERS, type FromWorker, type LoadOptions, type ToWorker } from "./messages.ts";
import { Runner } from "./runner.ts";
import type { Listener } from "./plan.ts";
import { Scheduler } from "./scheduler.ts";

/** Requests computed together where nobody says: on a GPU, and where a CPU does its work. */
const SLOTS = { hardware: 128, software: 4 };

/** Milliseconds that the GPU's own reason for a failure may come later than the failure. */
const PATIENCE = 100;

const scope = self as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: (event: MessageEvent<ToWorker>) => void;
};
const post = (message: FromWorker) => scope.postMessage(message);

/** What there is once the model is loaded. */
interface Loaded {
  gpu: Gpu;
  model: Falcon;
  runner: Runner;
  scheduler: Scheduler;
  counters: Float64Array<SharedArrayBuffer>;
  inject: ReturnType<typeof injector>;
}

let opened: Gpu | undefined;
let loaded: Loaded | undefined;
let [closing, failed] = [false, false];
let wake = () => {};

scope.onmessage = ({ data }) => {
  if (data.type === "load") load(data.options, new Float64Array(data.counters));
  else if (data.type === "close") closing = true;
  else if (data.type === "cancel") loaded?.scheduler.cancel(data.id);
  else if (data.type === "generate" && loaded) admit(loaded, data.id, data.request);
  publish();
  wake();
};

// What nobody waited for is a failure too; left alone it would print a stack and end the worker.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
addEventListener("error", (event) => {
  event.preventDefault();
  fail(event.error);
});

/** The engine cannot go on: says why, once, when it has given back what it held of the GPU. */
async function fail(error: unknown): Promise<void> {
  if (failed || closing) return;
  failed = true;
  const reason = await reasonOf(error);
  opened?.close();
  post({ type: "lost", reason });
}

async function load(options: LoadOptions, counters: Loaded["counters"]): Promise<void> {
  const started = performance.now();
  const { model: dir, maxBindingBytes, kvBytes, path, numbers, deterministic } = options;
  let cardBytes: number | undefined;
  try {
    const gpu = opened = await openGpu({
      ...(maxBindingBytes !== undefined && { maxBindingBytes }),
    });
    // Where the card's size would say nothing nobody asks for it.
    if (!gpu.software && kvBytes === undefined) {
      cardBytes = totalOf(gpu.adapter, await findGraphicsMemory());
    }
    const model = await Falcon.load(gpu, dir, {
      slots: options.slots ?? (gpu.software ? SLOTS.software : SLOTS.hardware),
      ...(cardBytes !== undefined && { cardBytes }),
      ...(kvBytes !== undefined && { kvBytes }),
      ...(path !== undefined && { path }),
      ...(numbers !== undefined && { numbers }),
      ...(deterministic !== undefined && { deterministic }),
      onProgress: (done, total) => {
        if (closing) throw new Error("closed while loading");
        post({ type: "progress", done, total });
      },
    });
    const { slots, state: { limits: { maxRows, maxPicks } } } = model;
    const runner = await Runner.create(model, slots);
    const guesses = options.promptLookup ?? 0;
    const limits = { slots, maxRows, maxPicks, guesses };
    const scheduler = new Scheduler(limits, model.kv, listener, () => performance.now());
    loaded = { gpu, model, runner, scheduler, counters, inject: injector(options.fault, gpu) };
  } catch (error) {
    const message = await reasonOf(error);
    opened?.close();
    post({ type: "unloadable", message, isCheckpoint: error instanceof CheckpointError });
    if (closing) post({ type: "closed" });
    return;
  }
  const { gpu, model } = loaded;
  publish();
  const seconds = (performance.now() - started) / 1000;
  post({ type: "ready", info: describe(options, model, gpu, seconds) });
  gpu.lost.then(fail);
  run(loaded).catch(fail);
}

async function run({ gpu, runner, scheduler, inject }: Loaded): Promise<void> {
  while (!closing) {
    const plan = scheduler.plan(runner.longestChain, runner.rowsInTime);
    if (plan) {
      const sampled = inject(await runner.step(plan));
      await breathe();
      // Errors of the step have arrived by now: nothing that it computed has left yet.
      gpu.check();
      scheduler.accept(sampled);
      publish();
    } else await new Promise<void>((resolve) => wake = resolve);
  }
  // Some drivers crash a process that ends with a device still open on another thread.
  gpu.close();
  post({ type: "closed" });
}

const { port1, port2 } = new MessageChannel();

/** Lets messages in between two steps; a timer would cost 2 ms. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(0);
  });
}

/** The counters are right whenever a message leaves or has come. */
function publish(): void {
  if (!loaded) return;
  const { model: { kv }, runner, scheduler, counters } = loaded;
  counters[COUNTERS.running] = scheduler.running;
  counters[COUNTERS.waiting] = scheduler.waiting;
  counters[COUNTERS.rows] = runner.rows;
  counters[COUNTERS.steps] = runner.steps;
  counters[COUNTERS.blocksUsed] = kv.blocksUsed;
  counters[COUNTERS.blocksTotal] = kv.blocks;
  counters[COUNTERS.prefixQueries] = kv.prefixQueries;
  counters[COUNTERS.prefixHits] = kv.prefixHits;
  counters[COUNTERS.guessesMade] = scheduler.guesses.made;
  counters[COUNTERS.guessesRight] = scheduler.guesses.right;
}

const listener: Listener = {
  onBegin: (id) => post({ type: "begun", id }),
  onEvent(id, event) {
    publish();
    post({ type: "event", id, event });
  },
  onInvalid(id) {
    publish();
    const message = "The model computed something that is not a number.";
    post({ type: "refused", id, code: "failed", message });
  },
};

function admit({ model, scheduler }: Loaded, id: number, request: GenerateRequest): void {
  const { vocabSize } = model.config;
  const refuse = (message: string) => post({ type: "refused", id, code: "invalid", message });
  const { prompt, maxNewTokens, topTokens, sampling: { logitBias } } = request;
  if (prompt.length === 0) return refuse("The prompt holds no token.");
  const wrong = prompt.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize);
  if (wrong !== undefined) {
    return refuse(`Token ids are below ${vocabSize}: the prompt holds ${wrong}.`);
  }
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    return refuse(`An answer holds at least 1 token: ${maxNewTokens} were asked for.`);
  }
  const most = longest(model);
  if (prompt.length + maxNewTokens > most) {
    return refuse(
      `Prompt and answer hold at most ${most} tokens: ${prompt.length} and ${maxNewTokens} were asked for.`,
    );
  }
  if (!Number.isInteger(topTokens) || topTokens < 0 || topTokens > MAX_TOP_TOKENS) {
    return refuse(`0 to ${MAX_TOP_TOKENS} top tokens can be reported, not ${topTokens}.`);
  }
  const biased = logitBias.find(([token, bias]) =>
    !Number.isInteger(token) || token < 0 || token >= vocabSize || !Number.isFinite(bias)
  );
  if (biased) {
    return refuse(`Biases are finite, for ids below ${vocabSize}: ${biased.join(" has ")}.`);
  }
  scheduler.add(id, request);
}

/** Tokens of the longest prompt and answer. */
function longest({ state, kv }: Falcon): number {
  return Math.min(state.limits.maxPositions, kv.blocks * kv.blockTokens);
}

function describe(
  { model: name, numbers }: LoadOptions,
  model: Falcon,
  gpu: Gpu,
  loadSeconds: number,
): EngineInfo {
  const { config, quantization } = model;
  return {
    model: name,
    adapter: gpu.adapter,
    software: gpu.software,
    path: model.path.name,
    pathReason: model.path.reason,
    activations: numbers ?? "int16",
    deterministic: model.state.limits.deterministic ?? false,
    bits: quantization.bits,
    groupSize: quantization.groupSize,
    actOrder: quantization.actOrder,
    vocabSize: config.vocabSize,
    maxPositions: longest(model),
    slots: model.slots,
    kvTokens: model.kv.blocks * model.kv.blockTokens,
    kvBytes: model.kv.blocks * model.kv.blockTokens * kvBytesPerToken(config),
    gpuMemoryBytes: gpu.allocatedBytes,
    loadSeconds,
  };
}

/** What went wrong, in the words of whoever knows best: a lost GPU makes odd errors elsewhere. */
async function reasonOf(error: unknown): Promise<string> {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof CheckpointError || !opened) return message;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, PATIENCE, message);
  });
  const reason = await Promise.race([opened.lost, patience]);
  clearTimeout(timer);
  return reason;
}
