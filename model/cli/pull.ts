/**
 * `deno task pull`: a model from the hub.
 *
 * Knows its flags, standard output and error, and signals. Knows no HTTP and no cache.
 */
import { resolve } from "node:path";
import { BRANCHES } from "../hub/branches.ts";
import { DEFAULT_REPO, DEFAULT_REVISION, parseSource, type Source } from "../hub/names.ts";
import { HubError } from "../hub/error.ts";
import { pull, type Pulled } from "../hub/pull.ts";
import { HUB_VARIABLES, hubSettings } from "../hub/settings.ts";
import { formatBytes } from "../sizes.ts";
import { Arguments, UsageError } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";
import { retryNote } from "./notes.ts";
import { formatSeconds, progressEvents, transfer } from "./transfer.ts";

export const FLAGS: Flags = {
  revision: {
    value: "REVISION",
    variable: "PULL_REVISION",
    help: `branch, tag or commit (default: ${DEFAULT_REVISION})`,
  },
  "local-dir": {
    value: "DIR",
    variable: "PULL_LOCAL_DIR",
    help: "put the files into this folder instead of the cache",
  },
  connections: {
    value: "N",
    variable: "PULL_CONNECTIONS",
    help: "connections for one large file (default: 8)",
  },
  json: { variable: "PULL_JSON", help: "print a JSON object a line on standard output" },
};

export const help = `Fetch a model from Hugging Face's hub into its cache.

Usage: deno task pull [flags] [OWNER/NAME][:REVISION]

Without a name it is ${DEFAULT_REPO}; \`branches\` lists its branches. What is there is
not fetched again, and what was cut goes on where it was. Prints the model's folder.

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

Variables of Hugging Face's own client:

${Object.entries(HUB_VARIABLES).map(([name, text]) => `  ${name.padEnd(16)} ${text}`).join("\n")}

Exit code: 0; 1 if the model cannot be had; 2 for wrong arguments; 130 after Ctrl-C.
`;

interface Order {
  source: Source;
  localDir: string | undefined;
  connections: number | undefined;
  json: boolean;
}

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  let order: Order | undefined;
  try {
    order = readOrder(new Arguments(argv, FLAGS, Deno.env.toObject()));
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof HubError)) throw error;
    console.error(error.message);
    return 2;
  }
  if (order === undefined) {
    console.log(help);
    return 0;
  }
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    await fetchModel(order, stopped.signal);
    return 0;
  } catch (error) {
    if (stopped.signal.aborted) {
      console.error("Stopped. The same command goes on from here.");
      return 130;
    }
    const message = error instanceof Error ? error.message : String(error);
    if (order.json) printEvent({ event: "error", message });
    console.error(message);
    return 1;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}

/** What is asked for, or undefined when it is help. */
function readOrder(args: Arguments): Order | undefined {
  if (args.help) return undefined;
  const [name = "", ...more] = args.positionals;
  if (more.length > 0) {
    throw new UsageError(
      `Expected one model, found ${args.positionals.length} arguments. Try --help.`,
    );
  }
  if (BRANCHES.some(({ revision }) => revision === name)) {
    throw new UsageError(
      `"${name}" is a branch of ${DEFAULT_REPO}: give it as --revision ${name}.`,
    );
  }
  const localDir = args.text("local-dir");
  return {
    source: parseSource(name, args.text("revision")),
    localDir: localDir === undefined ? undefined : resolve(localDir),
    connections: args.whole("connections", 1, 64),
    json: args.has("json"),
  };
}

async function fetchModel({ source, json, ...order }: Order, signal: AbortSignal): Promise<void> {
  const begun = performance.now();
  const shown = transfer(`${source.repo}:${source.revision}`);
  const note = (text: string) => json ? printEvent({ event: "note", text }) : console.error(text);
  try {
    const pulled = await pull(source, {
      ...order,
      settings: hubSettings(Deno.env.toObject()),
      signal,
      onProgress: json ? progressEvents(printEvent) : shown.update,
      onNote: note,
      onRetry: (reason, seconds) => note(retryNote(reason, seconds)),
    });
    shown.end();
    report(pulled, (performance.now() - begun) / 1000, json);
  } finally {
    shown.end();
  }
}

function report(pulled: Pulled, seconds: number, json: boolean): void {
  const { repo, revision, commit, folder, files, fetchedBytes } = pulled;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (json) {
    const times = { fetched_bytes: fetchedBytes, seconds: Math.round(seconds * 10) / 10 };
    printEvent({ event: "done", repo, revision, commit, folder, files, bytes, ...times });
    return;
  }
  const fetched = fetchedBytes === 0
    ? "all there already"
    : `${formatBytes(fetchedBytes)} fetched in ${formatSeconds(seconds)}`;
  console.error(`${repo}:${revision}: ${files.length} files, ${formatBytes(bytes)}, ${fetched}.`);
  console.log(folder);
}

function printEvent(event: Record<string, unknown>): void {
  console.log(JSON.stringify(event));
}
