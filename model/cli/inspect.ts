/**
 * `deno task inspect`: what the model computes, as one JSON object.
 *
 * Knows its flags and the model's forward pass. Knows no tokenizer, so that it works with
 * checkpoints that have none.
 */
import { type Gpu, openGpu } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { Falcon } from "../falcon.ts";
import { Arguments, UsageError, wrong } from "./arguments.ts";
import { type Path, PATHS } from "../path_names.ts";
import { type Flags, flagsHelp } from "./flags.ts";
import { modelFolder } from "./model_folder.ts";

export const FLAGS: Flags = {
  model: {
    value: "MODEL",
    variable: "MODEL",
    help: "a checkpoint's folder, or owner/name[:revision]",
  },
  tokens: { value: "IDS", variable: "TOKENS", help: "token ids, separated by commas" },
  steps: { value: "N", variable: "STEPS", help: "greedy tokens to add (default: 0)" },
  chunk: { value: "N", variable: "CHUNK", help: "prompt tokens computed in one step, at most" },
  path: {
    value: "PATH",
    variable: "DECODE_PATH",
    help: "how tokens are decoded: auto (default), portable or persistent",
  },
  "max-binding": {
    value: "BYTES",
    variable: "MAX_BINDING_BYTES",
    help: "use smaller GPU bindings than the adapter allows",
  },
};

export const help = `Print what the model computes for some tokens, as one JSON object.

Usage: deno task inspect --model DIR --tokens 1,2,3 [flags]

${flagsHelp(FLAGS)}

The object holds "logits" (of the last position, all of them), "greedy" (ids) and "adapter".

Exit code: 0; 1 if the model cannot be used; 2 for wrong arguments.
`;

interface Order {
  model: string;
  tokens: number[];
  steps: number;
  chunk: number | undefined;
  maxBindingBytes: number | undefined;
  path: Path;
}

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  try {
    const order = readOrder(new Arguments(argv, FLAGS, Deno.env.toObject()));
    console.log(order === undefined ? help : JSON.stringify(await inspect(order)));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

async function inspect(asked: Order) {
  const order = { ...asked, model: await modelFolder(asked.model) };
  await checkTokens(order);
  const { tokens, steps, chunk, maxBindingBytes } = order;
  const gpu = await openGpu({ ...(maxBindingBytes !== undefined && { maxBindingBytes }) });
  try {
    const model = await Falcon.load(gpu, order.model, {
      path: order.path,
      ...(chunk !== undefined && { maxRows: chunk }),
    });
    model.kv.grow(0, tokens.length + steps);
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

/**
 * Before gigabytes are loaded.
 *
 * @throws {UsageError} for tokens that the model does not have, or more than it holds
 */
async function checkTokens({ model, tokens, steps }: Order): Promise<void> {
  const checkpoint = await openCheckpoint(model);
  checkpoint.close();
  const { vocabSize, maxPositions } = checkpoint.config;
  const unknown = tokens.find((token) => token >= vocabSize);
  if (unknown !== undefined) throw wrong("tokens", `ids below ${vocabSize}`, `${unknown}`);
  if (tokens.length + steps > maxPositions) {
    throw new UsageError(
      `--tokens and --steps must be ${maxPositions} tokens at most, ` +
        `found ${tokens.length} and ${steps}.`,
    );
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
  model.forward.encode(pass, model.forward.upload(rows, [rows.length - 1]));
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  const bytes = await readOnce(gpu, model.state.logits, model.config.vocabSize * 4);
  const logits = new Float32Array(bytes);
  if (!logits.every(Number.isFinite)) {
    throw new Error("The model computes logits that are not finite numbers.");
  }
  return logits;
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** What is asked for, or undefined when it is help. */
function readOrder(args: Arguments): Order | undefined {
  if (args.help) return undefined;
  const [unexpected] = args.positionals;
  if (unexpected !== undefined) {
    throw new UsageError(`Expected flags alone, found "${unexpected}". Try --help.`);
  }
  const model = args.text("model");
  if (!model) throw new UsageError("--model is needed, a checkpoint's folder. Try --help.");
  const tokens = args.text("tokens");
  if (tokens === undefined) throw new UsageError("--tokens is needed, such as 1,2,3. Try --help.");
  return {
    model,
    tokens: readIds(tokens),
    steps: args.whole("steps", 0, Number.MAX_SAFE_INTEGER) ?? 0,
    chunk: args.whole("chunk", 1, Number.MAX_SAFE_INTEGER),
    maxBindingBytes: args.whole("max-binding", 1, Number.MAX_SAFE_INTEGER),
    path: args.choice("path", PATHS, "auto"),
  };
}

function readIds(text: string): number[] {
  return text.split(",").map((part) => {
    if (!/^\s*\d+\s*$/.test(part)) throw wrong("tokens", "token ids such as 1,2,3", part);
    return Number(part);
  });
}
