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
import { type Engine, EngineError, type EngineInfo } from "../../model/engine.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { type Path, PATHS } from "../../model/path_names.ts";
import type { LoadOptions } from "../../model/messages.ts";
import { profile } from "../../model/profile.ts";
import { commitOf } from "./commit.ts";
import { engineFigures } from "./engine_figures.ts";
import { figuresOf, heading, lookupShape, plainFigures } from "./figure_shapes.ts";
import { type Figures, parseFigures } from "./figures.ts";
import { httpFigures } from "./http_figures.ts";
import { load } from "./load/load.ts";
import { LOAD_FLAGS, readLoadOrder, wantsLoad } from "./load/order.ts";
import { lookupFigures } from "./lookup_figures.ts";
import { changesArithmetic, MODE_FLAGS, modeOptions, type Modes, readModes } from "./modes.ts";
import { planFor } from "./plan.ts";
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
  ...MODE_FLAGS,
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
  modes: Modes;
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
    modes: readModes(args),
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
async function measure({ model, path, modes, reference, short }: Order): Promise<Figures> {
  const dir = model === undefined
    ? builtinModel()
    : await modelFolder(model, new AbortController().signal);
  const name = model === undefined ? BUILTIN_NAME : basename(resolve(model));
  const onProgress = (what: string) => console.error(`bench: ${what}`);
  const { prompts, maxPositions } = await Prompts.open(dir);
  const plan = planFor(maxPositions, short);
  const { promptLookup, ...arithmetic } = modeOptions(modes);
  const alone = await profile(dir, { ...plan, path, ...arithmetic, reference, onProgress });
  const commit = await commitOf(fileURLToPath(new URL("../..", import.meta.url)));
  const made = { name, short, commit: commit ?? null };
  const guesses = promptLookup > 0;
  const take = (engine: Engine) => engineFigures(engine, prompts, plan, onProgress);
  const guess = (engine: Engine) => lookupFigures(engine, prompts, plan, onProgress);

  onProgress("starting the engine");
  const own = { model: dir, path, ...arithmetic, promptLookup };
  const figures = await withEngine(own, async (engine, info) => {
    if (info.path !== alone.path) {
      throw new Error(
        `The engine took the ${info.path} path, the forward pass alone the ${alone.path} one; ` +
          `name one with --path (the engine says: ${info.pathReason}).`,
      );
    }
    const speeds = await take(engine);
    const lookup = guesses ? await guess(engine) : undefined;
    const seen = await httpFigures(engine, prompts, plan, onProgress);
    const all = { ...heading(made, modes, info), ...figuresOf(plan, alone, speeds, seen) };
    return { all, lookup };
  });
  const none = { plain: null, lookup: null };
  if (!guesses && !changesArithmetic(modes)) return { ...figures.all, ...none };

  onProgress("starting the engine without these modes");
  const compared = await withEngine({ model: dir, path }, async (engine, info) => ({
    ...none,
    ...changesArithmetic(modes) && { plain: plainFigures(info, await take(engine)) },
    ...figures.lookup && { lookup: lookupShape(figures.lookup, await guess(engine)) },
  }));
  return { ...figures.all, ...compared };
}

async function withEngine<Result>(
  options: Omit<LoadOptions, "fault">,
  use: (engine: Engine, info: EngineInfo) => Promise<Result>,
): Promise<Result> {
  const engine = startLocalEngine({ ...options, queueLimit: 1, slots: 1 });
  try {
    return await use(engine, await engine.ready);
  } catch (error) {
    if (!(error instanceof EngineError && error.code === "lost")) throw error;
    throw new Error(`The GPU can no longer be used: ${await engine.lost}`);
  } finally {
    await engine.close();
  }
}
