/**
 * What `bench --load` is told to do.
 *
 * Knows its flags, and which of them go together. Knows nothing of how it is done.
 */
import { type Arguments, UsageError, wrong } from "../../../model/cli/arguments.ts";
import type { Flags } from "../../../model/cli/flags.ts";
import { APIS } from "./client.ts";
import type { Address } from "./target.ts";

export const LOAD_FLAGS: Flags = {
  load: { value: "URL", variable: "BENCH_LOAD", help: "an OpenAI-compatible server that runs" },
  api: {
    value: "API",
    variable: "BENCH_API",
    help: `the route: ${APIS.join(" or ")} (default: completions)`,
  },
  "model-name": {
    value: "NAME",
    variable: "BENCH_MODEL_NAME",
    help: "the model to ask for (default: the first that it lists)",
  },
  key: { value: "KEY", variable: "BENCH_KEY", help: "its API key" },
  streams: { value: "N", variable: "BENCH_STREAMS", help: "requests at a time (default: 8)" },
  rate: {
    value: "R",
    variable: "BENCH_RATE",
    help: "instead: R requests a second, at random (Poisson)",
  },
  "prompt-tokens": {
    value: "N",
    variable: "BENCH_PROMPT_TOKENS",
    help: "tokens of a prompt, by the server's count (default: 64)",
  },
  tokens: { value: "N", variable: "BENCH_TOKENS", help: "tokens of an answer (default: 128)" },
  requests: {
    value: "N",
    variable: "BENCH_REQUESTS",
    help: "stop after so many (default: 4 a stream, unless --seconds)",
  },
  seconds: {
    value: "S",
    variable: "BENCH_SECONDS",
    help: "send nothing new after S seconds (default with --rate: 30)",
  },
  "warm-up": {
    value: "N",
    variable: "BENCH_WARM_UP",
    help: "requests before, which do not count (default: as many as streams)",
  },
  intrude: {
    value: "N",
    variable: "BENCH_INTRUDE",
    help: "instead: gaps of the streams while a prompt of N tokens arrives",
  },
  "second-turn": {
    value: "N",
    variable: "BENCH_SECOND_TURN",
    help: "instead: the second turn's first token, after N tokens",
  },
  json: { value: "FILE", variable: "BENCH_JSON", help: "write the JSON object to this file, too" },
};

export interface LoadOrder {
  address: Address;
  streams: number;
  /** Requests a second; undefined: a closed loop of `streams`. */
  rate: number | undefined;
  promptTokens: number;
  tokens: number;
  requests: number;
  milliseconds: number;
  warmUp: number;
  intrude: number | undefined;
  secondTurn: number | undefined;
  json: string | undefined;
}

const MOST = 1_000_000;

/** Whether the arguments ask for it at all. */
export function wantsLoad(argv: readonly string[], variables: Record<string, string>): boolean {
  return argv.some((arg) => /^--?load(=|$)/.test(arg)) || Boolean(variables.BENCH_LOAD);
}

/** @throws {UsageError} for arguments that cannot be meant */
export function readLoadOrder(args: Arguments): LoadOrder {
  if (args.positionals.length > 0) {
    throw new UsageError(`Expected flags only, found "${args.positionals[0]}". Try --help.`);
  }
  const intrude = args.whole("intrude", 1, MOST);
  const secondTurn = args.whole("second-turn", 1, MOST);
  const alone = intrude !== undefined ? "intrude" : secondTurn !== undefined && "second-turn";
  apart(args, "rate", ["streams", "intrude"]);
  if (alone) { for (const name of ["rate", "requests", "seconds"]) apart(args, name, [alone]); }
  const streams = args.whole("streams", 1, 10_000) ?? 8;
  const positive = (name: string) =>
    args.number(name, "a number above 0", (value) => value > 0 && Number.isFinite(value));
  const rate = positive("rate");
  const seconds = positive("seconds") ?? (rate === undefined ? Infinity : 30);
  const few = rate === undefined && seconds === Infinity ? 4 * streams : Infinity;
  return {
    address: {
      url: readUrl(args.text("load")!),
      api: args.choice("api", APIS, "completions"),
      model: args.text("model-name"),
      key: args.text("key"),
    },
    streams,
    rate,
    promptTokens: args.whole("prompt-tokens", 1, MOST) ?? 64,
    tokens: args.whole("tokens", 1, MOST) ?? 128,
    requests: args.whole("requests", 1, MOST) ?? few,
    milliseconds: seconds * 1000,
    warmUp: args.whole("warm-up", 0, MOST) ?? (rate === undefined ? streams : 1),
    intrude,
    secondTurn,
    json: args.text("json"),
  };
}

function apart(args: Arguments, name: string, others: string[]): void {
  for (const other of others) {
    if (args.has(name) && args.has(other)) {
      throw new UsageError(`--${name} and --${other} do not go together.`);
    }
  }
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw wrong("load", "a server's address, http://127.0.0.1:8080 say", text);
}
