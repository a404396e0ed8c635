/**
 * `deno task synth`: writes a synthetic checkpoint, whole or not at all.
 *
 * Knows its flags, the folder to write and Ctrl-C. Knows nothing of what is in the files.
 */
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError } from "../checkpoint/error.ts";
import { freeBytes } from "../disk.ts";
import { formatBytes } from "../sizes.ts";
import { SHAPES, syntheticBytes, type SynthOptions, writeSynthetic } from "../synth.ts";
import { Arguments, UsageError, wrong } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";
import { progress } from "./progress.ts";

export const FLAGS: Flags = {
  shape: {
    value: "SHAPE",
    variable: "SYNTH_SHAPE",
    help: "falcon-7b, tiny (the default), or sizes: see below",
  },
  bits: { value: "N", variable: "SYNTH_BITS", help: "4 (the default) or 8" },
  group: {
    value: "SIZE",
    variable: "SYNTH_GROUP",
    help: "32, 64, 128 (the default) or none: inputs that share a scale",
  },
  "act-order": {
    variable: "SYNTH_ACT_ORDER",
    help: "scatter the inputs of a group, as in all of Claire's branches",
  },
  asym: { variable: "SYNTH_ASYM", help: "zero points differ by group and column" },
  bias: { variable: "SYNTH_BIAS", help: "give every linear layer a bias" },
  seed: { value: "N", variable: "SYNTH_SEED", help: "which random weights (default: 0)" },
  "shard-size": {
    value: "SIZE",
    variable: "SYNTH_SHARD_SIZE",
    help: "largest file, 5GB say (default: one file)",
  },
  tokenizer: {
    variable: "SYNTH_TOKENIZER",
    help: "write a tokenizer.json of bytes and made-up words; needs 268 tokens",
  },
  force: { variable: "SYNTH_FORCE", help: "replace a checkpoint that is in OUT" },
};

export const help = `Write a GPTQ Falcon checkpoint with random weights.

Usage: deno task synth [flags] OUT

${flagsHelp(FLAGS)}

SHAPE is falcon-7b (4 GB with 4 bits), tiny (the default), or HIDDENxLAYERSxHEADS[xVOCAB]:
4544x1x71x65024 is one layer of full width; without VOCAB there are ${
  SHAPES["tiny"]!.vocabSize
} tokens.

Exit code: 0; 1 if OUT cannot be written; 2 for wrong arguments; 130 after Ctrl-C.
`;

/** Names that a checkpoint's folder may hold; with others in it, --force does not touch it. */
const OURS =
  /^((config|quantize_config|tokenizer|model\.safetensors\.index)\.json|model(-\d+-of-\d+)?\.safetensors)$/;

const UNITS: Record<string, number> = { "": 1, K: 1e3, M: 1e6, G: 1e9 };

/** The folder cannot be written as asked; the message is the sentence to print. */
class OutputError extends Error {}

interface Order {
  out: string;
  force: boolean;
  options: SynthOptions;
}

/** Returns the exit code. */
export async function run(args: string[]): Promise<number> {
  let order: Order | undefined;
  try {
    order = readOrder(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
  if (order === undefined) {
    console.log(help);
    return 0;
  }
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    await write(order, stop.signal);
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return 130;
    const reason = sentence(error);
    if (reason === undefined) throw error;
    console.error(reason);
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** What is asked for, or undefined when it is help. */
function readOrder(argv: string[]): Order | undefined {
  const args = new Arguments(argv, FLAGS, Deno.env.toObject());
  if (args.help) return undefined;
  const bits = args.choice("bits", ["4", "8"], "4");
  const group = args.choice("group", ["32", "64", "128", "none"], "128");
  const shardBytes = readSize(args);
  const options: SynthOptions = {
    shape: readShape(args),
    bits: bits === "4" ? 4 : 8,
    groupSize: group === "none" ? 0 : Number(group),
    actOrder: args.has("act-order"),
    symmetric: !args.has("asym"),
    bias: args.has("bias"),
    seed: args.whole("seed", 0, Number.MAX_SAFE_INTEGER) ?? 0,
    tokenizer: args.has("tokenizer"),
    ...shardBytes !== undefined && { shardBytes },
  };
  const [out, ...more] = args.positionals;
  if (!out || more.length > 0) {
    const found = out ? `"${args.positionals.join('", "')}"` : "none";
    throw new UsageError(`Expected one folder to write, found ${found}. Try --help.`);
  }
  try {
    syntheticBytes(options);
  } catch (error) {
    if (error instanceof CheckpointError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
  return { out: resolve(out), force: args.has("force"), options };
}

function readShape(args: Arguments) {
  const text = args.text("shape") ?? "tiny";
  if (Object.hasOwn(SHAPES, text)) return SHAPES[text]!;
  const match = /^(\d{1,6})x(\d{1,4})x(\d{1,4})(?:x(\d{1,7}))?$/.exec(text);
  if (!match) {
    throw wrong("shape", `${Object.keys(SHAPES).join(", ")} or HIDDENxLAYERSxHEADS[xVOCAB]`, text);
  }
  const [hiddenSize, layers, heads, vocabSize] = match.slice(1).map(Number);
  return {
    hiddenSize: hiddenSize!,
    layers: layers!,
    heads: heads!,
    vocabSize: vocabSize || SHAPES["tiny"]!.vocabSize,
  };
}

function readSize(args: Arguments): number | undefined {
  const text = args.text("shard-size");
  if (text === undefined) return undefined;
  const [, number, unit] = /^(\d+(?:\.\d+)?)([KMG]?)B?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * UNITS[unit?.toUpperCase() ?? ""]!);
  if (bytes >= 1) return bytes;
  throw wrong("shard-size", "a number of bytes, such as 5GB or 500MB", text);
}

/** Everything goes to a folder beside OUT first, and becomes OUT when it is complete. */
async function write({ out, force, options }: Order, signal: AbortSignal): Promise<void> {
  const partial = `${out}.partial`;
  for (const dir of [partial, out]) await checkReplaceable(dir, force);
  await Deno.mkdir(dirname(out), { recursive: true });
  const total = syntheticBytes(options);
  await checkSpace(dirname(out), total);

  const begun = performance.now();
  const shown = progress(`Writing ${basename(out)}`, total);
  try {
    await removeFolder(partial);
    await Deno.mkdir(partial);
    await writeSynthetic(partial, { ...options, signal }, (done) => shown.update(done));
    await removeFolder(out);
    await Deno.rename(partial, out);
  } catch (error) {
    await removeFolder(partial);
    throw error;
  } finally {
    shown.end();
  }
  report(out, (performance.now() - begun) / 1000);
}

/** @throws {OutputError} unless there is nothing, an empty folder or, by force, a checkpoint */
async function checkReplaceable(dir: string, force: boolean): Promise<void> {
  let names: string[];
  try {
    names = await Array.fromAsync(Deno.readDir(dir), (entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.NotADirectory) throw new OutputError(`${dir} is no folder.`);
    throw error;
  }
  const foreign = names.find((name) => !OURS.test(name));
  if (foreign !== undefined) {
    throw new OutputError(`${dir} holds "${foreign}", which is no part of a checkpoint; move it.`);
  }
  if (names.length > 0 && !force) {
    throw new OutputError(`${dir} holds a checkpoint or a part of one; --force replaces it.`);
  }
}

/** @throws {OutputError} when the disk has no room; where that cannot be told, writing will tell */
async function checkSpace(dir: string, bytes: number): Promise<void> {
  const free = await freeBytes(dir);
  if (free > bytes) return;
  throw new OutputError(
    `The checkpoint has ${formatBytes(bytes)}, but ${dir} has room for ${formatBytes(free)}.`,
  );
}

async function removeFolder(dir: string): Promise<void> {
  try {
    await Deno.remove(dir, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function report(out: string, seconds: number): void {
  console.log(`Wrote ${out} in ${seconds.toFixed(1)} s:`);
  for (const name of Array.from(Deno.readDirSync(out), (entry) => entry.name).sort()) {
    console.log(`  ${name}  ${formatBytes(Deno.statSync(join(out, name)).size)}`);
  }
}

/** What the system or we have to say about the folder; undefined for a mistake in the program. */
function sentence(error: unknown): string | undefined {
  if (error instanceof OutputError) return error.message;
  if (error instanceof Error && /\(os error \d+\)/.test(error.message)) return `${error.message}.`;
}
