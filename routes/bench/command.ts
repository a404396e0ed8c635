/**
 * `deno task bench`: how fast a checkpoint runs on this machine, or a server that runs elsewhere.
 *
 * Knows its flags, the order of measurements and where figures go. Knows neither how they are taken
 * nor how they are shown.
 */
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILTIN_NAME, builtinModel } from "../../model/builtin.ts";
import { Arguments, UsageError } from "../../model/cli/arguments.ts";
import { type Flags, flagsHelp } from "../../model/cli/flags.ts";
import { modelFolder } from "../../model/cli/model_folder.ts";
import { EngineError, type EngineInfo } from "../../model/engine.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { type Path, PATHS } from "../../model/path_names.ts";
import { type KernelTime, type Profile, profile } from "../../model/profile.ts";
import { commitOf } from "./commit.ts";
import { type EngineFigures, engineFigures } from "./engine_figures.ts";
import { type Figures, parseFigures } from "./figures.ts";
import { type HttpFigures, httpFigures } from "./http_figures.ts";
import { load } from "./load/load.ts";
import { LOAD_FLAGS, readLoadOrder, wantsLoad } from "./load/order.ts";
import { type Plan, planFor } from "./plan.ts";
import { Prompts } from "./prompts.ts";
import { compare, table } from "./report.ts";

export const FLAGS: Flags = {
  model: {
    value: "MODEL",
    variable: "MODEL",
    help: "a checkpoint's folder, or owner/name[:revision] (default: the built-in model)",
  },
  path: {
    value: "PATH",
    variable: "DECODE_PATH",
    help: `the way of decoding: ${PATHS.join(", ")} (default: auto)`,
  },
  json: { value: "FILE", variable: "BENCH_JSON", help: "write the JSON object to this file, too" },
  compare: {
    value: "FILE",
    variable: "BENCH_COMPARE",
    help: "show the change since the run that wrote this file",
  },
  reference: {
    value: "DIR",
    variable: "BENCH_REFERENCE",
    help: "the output of tests/full_width/torch_reference.py for this checkpoint",
  },
  short: { variable: "BENCH_SHORT", help: "a few tokens of everything: does it run?" },
};

export const help = `Measure how fast a checkpoint runs here.

Usage: deno task bench [flags]

Prints a table and, as the last line, its figures as one JSON object.

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

With --load it drives a server that runs, and prints what its clients see:

${flagsHelp(LOAD_FLAGS)}

Exit code: 0; 1 if something cannot be used; 2 for wrong arguments; 130 after Ctrl-C.
`;

interface Order {
  model: string | undefined;
  path: Path;
  json: string | undefined;
  earlier: Figures | undefined;
  reference: string | undefined;
  short: boolean;
}

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  try {
    const variables = Deno.env.toObject();
    const isLoad = wantsLoad(argv, variables);
    const args = new Arguments(argv, isLoad ? LOAD_FLAGS : FLAGS, variables);
    if (args.help) {
      console.log(help);
      return 0;
    }
    if (isLoad) return await load(readLoadOrder(args));
    const order = await readOrder(args);
    const figures = await measure(order);
    const json = JSON.stringify(figures);
    console.log(`${table(figures)}\n`);
    if (order.earlier) console.log(`${compare(figures, order.earlier)}\n`);
    console.log(json);
    // Last, so that a folder that cannot be written costs no figures.
    if (order.json !== undefined) await Deno.writeTextFile(order.json, `${json}\n`);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

/** @throws {UsageError} for arguments that cannot be meant, before anything is measured */
async function readOrder(args: Arguments): Promise<Order> {
  if (args.positionals.length > 0) {
    throw new UsageError(`Expected flags only, found "${args.positionals[0]}". Try --help.`);
  }
  const compare = args.text("compare");
  return {
    model: args.text("model"),
    path: args.choice("path", PATHS, "auto"),
    json: args.text("json"),
    earlier: compare === undefined ? undefined : await readFigures(compare),
    reference: args.text("reference"),
    short: args.has("short"),
  };
}

/** @throws {UsageError} unless an earlier run wrote the file */
async function readFigures(path: string): Promise<Figures> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new UsageError(`--compare ${path} cannot be read: ${(error as Error).message}`);
  }
  const figures = parseFigures(text);
  if (figures) return figures;
  throw new UsageError(`--compare ${path} should be a file that bench --json wrote.`);
}

/** The forward pass first: the engine then loads from the page cache. */
async function measure({ model, path, reference, short }: Order): Promise<Figures> {
  const dir = model === undefined
    ? builtinModel()
    : await modelFolder(model, new AbortController().signal);
  const name = model === undefined ? BUILTIN_NAME : basename(resolve(model));
  const onProgress = (what: string) => console.error(`bench: ${what}`);
  const { prompts, maxPositions } = await Prompts.open(dir);
  const plan = planFor(maxPositions, short);
  const alone = await profile(dir, { ...plan, path, reference, onProgress });
  onProgress("starting the engine");
  const engine = startLocalEngine({ model: dir, path, queueLimit: 1, slots: 1 });
  try {
    const info = await engine.ready;
    if (info.path !== alone.path) {
      throw new Error(
        `The engine took the ${info.path} path, the forward pass alone the ${alone.path} one; ` +
          `name one with --path (the engine says: ${info.pathReason}).`,
      );
    }
    const speeds = await engineFigures(engine, prompts, plan, onProgress);
    const seen = await httpFigures(engine, prompts, plan, onProgress);
    const commit = await commitOf(fileURLToPath(new URL("../..", import.meta.url)));
    const made = { name, short, commit: commit ?? null };
    return { ...heading(made, info), ...figuresOf(plan, alone, speeds, seen) };
  } catch (error) {
    if (!(error instanceof EngineError && error.code === "lost")) throw error;
    throw new Error(`The GPU can no longer be used: ${await engine.lost}`);
  } finally {
    await engine.close();
  }
}

function heading(
  { name, short, commit }: { name: string; short: boolean; commit: string | null },
  info: EngineInfo,
) {
  return {
    date: new Date().toISOString(),
    commit,
    model: name,
    short,
    adapter: info.adapter,
    path: info.path,
    bits: info.bits,
    group: info.groupSize,
    act_order: info.actOrder,
    load_s: info.loadSeconds,
    gpu_memory_bytes: info.gpuMemoryBytes,
  };
}

function figuresOf({ contexts }: Plan, alone: Profile, engine: EngineFigures, http: HttpFigures) {
  const bytes = (context: number) => alone.decode.get(context)!.bytesPerToken;
  const by = (value: (context: number) => number) =>
    Object.fromEntries(contexts.map((context) => [context, value(context)]));
  return {
    decode_tok_s: Object.fromEntries(engine.decode),
    decode_gb_s: by((context) => engine.decode.get(context)! * bytes(context) / 1e9),
    forward_tok_s: by((context) => alone.decode.get(context)!.tokensPerSecond),
    prefill_tok_s: Object.fromEntries(engine.prefill),
    ttft_ms: http.firstToken,
    ttft_prompt_tokens: http.promptTokens,
    stream_gap_p99_ms: http.gap,
    logits_nmse: alone.nmse ?? null,
    decode_kernels: alone.decodeKernels.map(kernelFigure),
    prefill_kernels: alone.prefillKernels.kernels.map(kernelFigure),
    prefill_rows: alone.prefillKernels.rows,
  };
}

function kernelFigure({ name, milliseconds, bytes }: KernelTime) {
  const perSecond = bytes === undefined ? null : bytes / 1e6 / milliseconds;
  return { name, ms: milliseconds, gb_s: perSecond };
}
