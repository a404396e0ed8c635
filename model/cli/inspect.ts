/**
 * `deno task inspect`: what the model computes, as one JSON object.
 *
 * Knows its flags and the model's forward pass. Knows no tokenizer, so that it works with
 * checkpoints that have none.
 */
import { parseArgs } from "node:util";
import { type Gpu, GpuError, openGpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { CheckpointError } from "../checkpoint/error.ts";
import { Falcon } from "../falcon.ts";

export const help = `Print what the model computes for some tokens, as one JSON object.

  deno task inspect --model DIR --tokens 1,2,3 [--steps 16]

  --model DIR          a GPTQ Falcon checkpoint (or the variable MODEL)
  --tokens IDS         token ids, separated by commas
  --steps N            greedy tokens to add (default 0)
  --chunk N            prompt tokens computed in one step, at most
  --max-binding BYTES  use smaller GPU bindings than the adapter allows

The object holds "logits" (of the last position, all of them), "greedy" (ids) and "adapter".`;

interface Arguments {
  model: string;
  tokens: number[];
  steps: number;
  chunk: number | undefined;
  maxBinding: number | undefined;
}

export async function run(args: string[]): Promise<number> {
  let wanted: Arguments | undefined;
  try {
    wanted = readArguments(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (!wanted) {
    console.log(help);
    return 0;
  }
  try {
    console.log(JSON.stringify(await inspect(wanted)));
    return 0;
  } catch (error) {
    const isOurs = error instanceof CheckpointError || error instanceof GpuError ||
      error instanceof RangeError;
    if (!isOurs) throw error;
    console.error(error.message);
    return 1;
  }
}

async function inspect({ model: dir, tokens, steps, chunk, maxBinding }: Arguments) {
  const gpu = await openGpu(maxBinding === undefined ? {} : { maxBindingBytes: maxBinding });
  try {
    const model = await Falcon.load(gpu, dir, chunk === undefined ? {} : { maxRows: chunk });
    const { vocabSize } = model.config;
    const wrong = tokens.find((token) => token >= vocabSize);
    if (wrong !== undefined) {
      throw new RangeError(`--tokens should hold ids below ${vocabSize}, found ${wrong}.`);
    }
    const total = tokens.length + steps;
    const { maxPositions } = model.state.limits;
    if (total > maxPositions) {
      throw new RangeError(
        `--tokens and --steps are ${total} in all, the model holds ${maxPositions}.`,
      );
    }
    model.kv.grow(0, total);
    const logits = await prefill(gpu, model, tokens);
    const greedy: number[] = [];
    let last = logits;
    for (let step = 0; step < steps; step++) {
      greedy.push(argmax(last));
      const position = tokens.length + step;
      if (step + 1 < steps) last = await compute(gpu, model, [greedy[step]], position);
    }
    return { logits: [...logits], greedy, adapter: gpu.adapter };
  } finally {
    gpu.close();
  }
}

async function prefill(gpu: Gpu, model: Falcon, tokens: number[]): Promise<Float32Array> {
  const { maxRows } = model.state.limits;
  let logits = new Float32Array();
  for (let start = 0; start < tokens.length; start += maxRows) {
    logits = await compute(gpu, model, tokens.slice(start, start + maxRows), start);
  }
  return logits;
}

/** The logits after the last of `tokens`, which begin at `position`. */
async function compute(gpu: Gpu, model: Falcon, tokens: number[], position: number) {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const rows = tokens.map((token, i) => ({ token, position: position + i, slot: 0 }));
  model.forward.encode(pass, rows, [rows.length - 1]);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  const bytes = await readOnce(gpu, model.state.logits, model.config.vocabSize * 4);
  return new Float32Array(bytes);
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function readArguments(args: string[]): Arguments | undefined {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: "string" },
      tokens: { type: "string" },
      steps: { type: "string", default: "0" },
      chunk: { type: "string" },
      "max-binding": { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const model = values.model ?? Deno.env.get("MODEL");
  if (!model) throw new TypeError("--model DIR is needed: the folder of a checkpoint.");
  const tokens = (values.tokens ?? "").split(",").filter((part) => part.trim() !== "");
  if (tokens.length === 0) throw new TypeError("--tokens IDS is needed, 1,2,3 say.");
  return {
    model,
    tokens: tokens.map((token) => wholeNumber("--tokens", token, 0)),
    steps: wholeNumber("--steps", values.steps, 0),
    chunk: values.chunk === undefined ? undefined : wholeNumber("--chunk", values.chunk, 1),
    maxBinding: values["max-binding"] === undefined
      ? undefined
      : wholeNumber("--max-binding", values["max-binding"], 1),
  };
}

function wholeNumber(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\s*\d+\s*$/.test(text) || value < least) {
    throw new TypeError(`${flag} should hold whole numbers from ${least}, found "${text}".`);
  }
  return value;
}
