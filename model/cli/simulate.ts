/**
 * `simulate`: a router before many sidecars, without any of them.
 *
 * Knows its flags, and where figures go. Knows neither how they come about nor how they are shown.
 */
import { FALCON_7B as MODEL, runPolicies, type Settings } from "../simulate/plan.ts";
import { POLICIES } from "../simulate/policies.ts";
import { H200, parseRates, type Rates } from "../simulate/rates.ts";
import { report, settingsAsJson } from "../simulate/report.ts";
import { Arguments, UsageError, wrong } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";

export const FLAGS: Flags = {
  sidecars: { value: "N", variable: "SIMULATE_SIDECARS", help: "GPUs (default: 10)" },
  rate: {
    value: "R",
    variable: "SIMULATE_RATE",
    help: "dialogues that begin, a second (default: half of the sidecars)",
  },
  turns: { value: "T", variable: "SIMULATE_TURNS", help: "answers of a dialogue (default: 8)" },
  think: {
    value: "SECONDS",
    variable: "SIMULATE_THINK",
    help: "mean time from an answer to the next turn (default: 20)",
  },
  opening: {
    value: "N",
    variable: "SIMULATE_OPENING",
    help: "tokens before the first turn (default: 100)",
  },
  turn: { value: "N", variable: "SIMULATE_TURN", help: "mean tokens of a turn (default: 40)" },
  answer: {
    value: "N",
    variable: "SIMULATE_ANSWER",
    help: "mean tokens of an answer (default: 60)",
  },
  fixed: { variable: "SIMULATE_FIXED", help: "lengths are the means, not exponential" },
  slots: {
    value: "N",
    variable: "SIMULATE_SLOTS",
    help: "sequences a sidecar computes at once (default: 128)",
  },
  "kv-mib": {
    value: "N",
    variable: "SIMULATE_KV_MIB",
    help: "KV memory of a sidecar in MiB (default: 2047)",
  },
  rates: {
    value: "FILE",
    variable: "SIMULATE_RATES",
    help: "the GPU's rates as JSON (default: an H200's)",
  },
  policy: {
    value: "NAME",
    variable: "SIMULATE_POLICY",
    help: `${POLICIES.join(", ")} or all (the default)`,
  },
  least: {
    value: "N",
    variable: "SIMULATE_LEAST",
    help:
      "turns a sidecar takes, by rendezvous, whatever the mean (default: a quarter of its slots)",
  },
  seconds: { value: "S", variable: "SIMULATE_SECONDS", help: "simulated time (default: 1800)" },
  "warm-up": {
    value: "S",
    variable: "SIMULATE_WARM_UP",
    help: "of it, the part that is not counted (default: 600, or a third)",
  },
  "kill-at": { value: "S", variable: "SIMULATE_KILL_AT", help: "when one sidecar dies" },
  "back-at": {
    value: "S",
    variable: "SIMULATE_BACK_AT",
    help: "when it is back, with an empty cache",
  },
  seed: { value: "N", variable: "SIMULATE_SEED", help: "which random numbers (default: 0)" },
  json: {
    value: "FILE",
    variable: "SIMULATE_JSON",
    help: "write the JSON object to this file, too",
  },
};

export const help = `Simulate a router before many GPU sidecars, and compare its policies.

Usage: deno task simulate [flags]

Prints what is assumed, a table and, as the last line, its figures as one JSON object. Needs no GPU
and no model. Equal flags give equal figures.

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

A file of rates has "source" (a text), "decode_tok_s" (sequences that decode together: tokens a
second of all), "prefill_tok_s" (tokens of a prompt: tokens a second) and "overhead_ms".

Exit code: 0; 1 if a file cannot be written; 2 for wrong arguments.
`;

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  try {
    const args = new Arguments(argv, FLAGS, Deno.env.toObject());
    if (args.help) {
      console.log(help);
      return 0;
    }
    const settings = await readSettings(args);
    const policies = runPolicies(settings);
    const json = JSON.stringify({ settings: settingsAsJson(settings), policies });
    console.log(`${report(settings, policies)}\n`);
    console.log(json);
    // Last, so that a folder that cannot be written costs no figures.
    const file = args.text("json");
    if (file !== undefined) await Deno.writeTextFile(file, `${json}\n`);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

/** @throws {UsageError} for settings that cannot be meant, before anything is computed */
async function readSettings(args: Arguments): Promise<Settings> {
  if (args.positionals.length > 0) {
    throw new UsageError(`Expected flags only, found "${args.positionals[0]}". Try --help.`);
  }
  const positive = (name: string) =>
    args.number(name, "a number above 0", (value) => value > 0 && value < Infinity);
  const whole = (name: string, preset: number, least = 1, most = 1e6) =>
    args.whole(name, least, most) ?? preset;
  const context = MODEL.maxPositions;
  const sidecars = whole("sidecars", 10, 1, 1000);
  const seconds = positive("seconds") ?? 1800;
  const slots = whole("slots", 128);
  const workload = {
    rate: positive("rate") ?? sidecars / 2,
    turns: whole("turns", 8),
    thinkSeconds: positive("think") ?? 20,
    openingTokens: whole("opening", 100, 0, context),
    turnTokens: whole("turn", 40, 1, context),
    answerTokens: whole("answer", 60, 1, context),
    lengths: args.has("fixed") ? "fixed" as const : "exponential" as const,
    contextTokens: context,
  };
  const name = args.choice("policy", [...POLICIES, "all"], "all");
  return {
    sidecars,
    workload,
    slots,
    kvBytes: whole("kv-mib", 2047, 16, 1e6) * 2 ** 20,
    rates: await readRates(args.text("rates")),
    policies: name === "all" ? POLICIES : [name],
    leastLoad: whole("least", Math.ceil(slots / 4)),
    seconds,
    warmUpSeconds: readTime(args, "warm-up", 0, seconds) ?? Math.min(600, seconds / 3),
    death: readDeath(args, seconds),
    seed: whole("seed", 0, 0, 2 ** 32 - 1),
  };
}

/** A time from `least` to before `end`. */
function readTime(args: Arguments, name: string, least: number, end: number): number | undefined {
  const expected = `a time from ${least} to before ${end} seconds`;
  return args.number(name, expected, (value) => value >= least && value < end);
}

function readDeath(args: Arguments, end: number): Settings["death"] {
  const at = readTime(args, "kill-at", 0, end);
  if (at !== undefined) return { at, backAt: readTime(args, "back-at", at, end) };
  if (args.has("back-at")) throw new UsageError("--back-at needs --kill-at. Try --help.");
  return undefined;
}

async function readRates(file: string | undefined): Promise<Rates> {
  if (file === undefined) return H200;
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    throw new UsageError(`--rates ${file} cannot be read: ${(error as Error).message}`);
  }
  try {
    return parseRates(text);
  } catch (error) {
    throw wrong("rates", "a file of rates", `${file}: ${(error as Error).message}`);
  }
}
