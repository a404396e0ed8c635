/**
 * `deno task generate`: one answer, streamed to the terminal as it comes.
 *
 * Knows its flags, standard input and output, and Ctrl-C. Knows neither prompt formats nor the GPU.
 */
import { basename } from "node:path";
import { BUILTIN_NAME, builtinModel } from "../builtin.ts";
import { EngineError, type EngineInfo, type Sampling } from "../engine.ts";
import { startLocalEngine } from "../local_engine.ts";
import { generateText, type TextEvent, type TextRequest } from "../text_generation.ts";
import { loadTextSide } from "../text_side.ts";
import { Arguments, UsageError } from "./arguments.ts";
import { type Path, PATHS } from "../path_names.ts";
import { type Flags, flagsHelp } from "./flags.ts";
import { modelFolder } from "./model_folder.ts";
import { type Progress, progress } from "./progress.ts";
import { readSampling, SAMPLING_FLAGS } from "./sampling_flags.ts";

export const FLAGS: Flags = {
  model: {
    value: "MODEL",
    variable: "MODEL",
    help: "a checkpoint's folder, or owner/name[:revision] (default: the built-in model)",
  },
  "max-new-tokens": {
    value: "N",
    variable: "MAX_NEW_TOKENS",
    help: "longest answer (default: 200)",
  },
  ...SAMPLING_FLAGS,
  stop: { value: "TEXT", variable: "STOP", help: "end before this text; may be repeated" },
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

export const help = `Stream one answer to the terminal.

Usage: deno task generate [flags] PROMPT

The prompt is taken as it is, or from standard input when there is none; line feeds at the end of
standard input are left out, since Claire goes on where the prompt ends.

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

Exit code: 0; 1 if the model cannot be used; 2 for wrong arguments; 130 after Ctrl-C.
`;

interface Order {
  model: string | undefined;
  prompt: string;
  maxNewTokens: number;
  sampling: Sampling;
  stop: string[];
  maxBindingBytes: number | undefined;
  path: Path;
}

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  let order: Order | undefined;
  try {
    order = await readOrder(new Arguments(argv, FLAGS, Deno.env.toObject()));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
  if (order === undefined) {
    console.log(help);
    return 0;
  }
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    await answer(order, interrupted.signal);
    return 0;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    // Whoever reads our output has seen enough.
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** What is asked for, or undefined when it is help. */
async function readOrder(args: Arguments): Promise<Order | undefined> {
  if (args.help) return undefined;
  if (args.positionals.length > 1) {
    throw new UsageError(
      `Expected one prompt (in quotes), found ${args.positionals.length} arguments. Try --help.`,
    );
  }
  const sampling = readSampling(args);
  const maxNewTokens = args.whole("max-new-tokens", 1, 1e6) ?? 200;
  const maxBindingBytes = args.whole("max-binding", 1, Number.MAX_SAFE_INTEGER);
  const prompt = args.positionals[0] ?? await readPrompt();
  if (prompt === "") throw new UsageError("Expected a prompt, found an empty one. Try --help.");
  return {
    model: args.text("model"),
    prompt,
    maxNewTokens,
    sampling,
    stop: args.all("stop"),
    maxBindingBytes,
    path: args.choice("path", PATHS, "auto"),
  };
}

async function readPrompt(): Promise<string> {
  if (Deno.stdin.isTerminal()) {
    throw new UsageError("Expected a prompt, as an argument or on standard input. Try --help.");
  }
  return (await new Response(Deno.stdin.readable).text()).replace(/[\r\n]+$/, "");
}

/** @throws the reason of `signal`, or a sentence about the model */
async function answer(order: Order, signal: AbortSignal): Promise<void> {
  const dir = order.model === undefined ? builtinModel() : await modelFolder(order.model, signal);
  const { tokenizer, stopTokens } = await loadTextSide(dir);
  const label = `Loading ${order.model === undefined ? BUILTIN_NAME : basename(order.model)}`;
  let shown: Progress | undefined;
  const engine = startLocalEngine({
    model: dir,
    queueLimit: 1,
    slots: 1,
    maxBindingBytes: order.maxBindingBytes,
    path: order.path,
    onProgress: ({ done, total }) => (shown ??= progress(label, total)).update(done),
  });
  try {
    const info = await unlessAborted(engine.ready, signal);
    shown?.end();
    const prompt = tokenizer.encode(order.prompt);
    const { maxNewTokens, sampling, stop } = order;
    const room = info.maxPositions - prompt.length;
    if (room < 1) {
      const most = info.maxPositions - 1;
      throw new EngineError(
        "invalid",
        `The prompt has ${prompt.length} tokens, at most ${most} fit.`,
      );
    }
    const request: TextRequest = {
      prompt,
      maxNewTokens: Math.min(maxNewTokens, room),
      sampling,
      stop,
      keepStop: false,
      stopTokens,
      topTokens: 0,
      promptLogprobs: false,
    };
    await stream(generateText(engine, tokenizer, request, signal), info, signal);
  } catch (error) {
    if (!(error instanceof EngineError && error.code === "lost")) throw error;
    throw new Error(`The GPU can no longer be used: ${await engine.lost}`);
  } finally {
    shown?.end();
    await engine.close();
  }
}

/** Prints the answer as it grows and, unless it failed at once, a line about its speed. */
async function stream(
  events: AsyncIterable<TextEvent>,
  info: EngineInfo,
  signal: AbortSignal,
): Promise<void> {
  const output = Deno.stdout.writable.getWriter();
  const print = (text: string) => output.write(new TextEncoder().encode(text));
  const begun = performance.now();
  let first = begun, last = begun, tokens = 0;
  try {
    for await (const event of events) {
      if (event.type !== "token") continue;
      last = performance.now();
      if (tokens === 0) first = last;
      tokens = event.index;
      await print(event.safeText);
    }
  } finally {
    if (tokens > 0 || signal.aborted) {
      await print("\n").catch(() => {});
      console.error(speedLine(tokens, (first - begun) / 1000, (last - first) / 1000, info));
    }
    output.releaseLock();
  }
}

/** Tokens a second are those after the first, which waits for the prompt. */
function speedLine(tokens: number, wait: number, rest: number, info: EngineInfo): string {
  const parts = [`${tokens} ${tokens === 1 ? "token" : "tokens"}`];
  if (tokens > 1) parts.push(`${((tokens - 1) / rest).toFixed(1)} tokens/s`);
  if (tokens > 0) parts.push(`the first after ${wait.toFixed(2)} s`);
  return `${parts.join(", ")}, on ${info.adapter}${info.software ? " (a CPU)" : ""}`;
}

/** @throws the reason of `signal` as soon as it is aborted */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return Promise.race([promise, aborted]);
}
