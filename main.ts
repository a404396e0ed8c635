/**
 * The program's one entry: `deno run -A main.ts COMMAND`, or `deno serve -A main.ts`.
 *
 * Knows the commands' names. Each is loaded only when it is called, so that `--help` is quick, and
 * importing this file does nothing.
 */
import { suggestion } from "./model/cli/closest.ts";

interface Command {
  /** Returns the exit code. */
  run(args: string[]): Promise<number>;
}

const COMMANDS: Record<string, { summary: string; load: () => Promise<Command> }> = {
  serve: { summary: "serve a model over HTTP", load: () => import("./routes/serve.ts") },
  generate: {
    summary: "stream one answer to the terminal",
    load: () => import("./model/cli/generate.ts"),
  },
  pull: {
    summary: "fetch a model from Hugging Face's hub",
    load: () => import("./model/cli/pull.ts"),
  },
  branches: {
    summary: "list Claire's branches and which are here",
    load: () => import("./model/cli/branches.ts"),
  },
  doctor: {
    summary: "check this machine, and say what to do",
    load: () => import("./model/cli/doctor.ts"),
  },
  inspect: {
    summary: "print logits and greedy tokens as JSON",
    load: () => import("./model/cli/inspect.ts"),
  },
  tokenize: {
    summary: "turn JSON strings into token ids, line by line",
    load: () => import("./model/cli/tokenize.ts"),
  },
  synth: {
    summary: "write a synthetic GPTQ checkpoint",
    load: () => import("./model/cli/synth.ts"),
  },
  bench: {
    summary: "measure how fast a checkpoint runs here",
    load: () => import("./routes/bench/command.ts"),
  },
  simulate: {
    summary: "simulate a router before many GPUs",
    load: () => import("./model/cli/simulate.ts"),
  },
};

const help = `Clairon runs Claire-7B (Falcon, GPTQ) on WebGPU.

Usage: deno task COMMAND [flags]

${
  Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`).join("\n")
}

Flags of a command: deno task COMMAND --help
`;

/** @returns the exit code: the command's own, or 2 if there is no such command */
export async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || ["help", "--help", "-h"].includes(name)) {
    console.log(help);
    return 0;
  }
  if (Object.hasOwn(COMMANDS, name)) {
    const command = await COMMANDS[name]!.load();
    return await command.run(args);
  }
  const hint = suggestion(name, Object.keys(COMMANDS));
  console.error(`There is no command "${name}".${hint} Try --help.`);
  return 2;
}

const hosted = () => import("./routes/hosted.ts");
let listening = false;

/** What `deno serve` and hosted Deno look for. */
export default {
  fetch: async (request: Request) => (await hosted()).fetch(request),
  onListen(address: Deno.Addr) {
    listening = true;
    hosted().then(({ start }) => start(address));
  },
} satisfies Deno.ServeDefaultExport;

if (import.meta.main) {
  // `deno serve` looks at the export above once this module has run, before the load event; a
  // command ends the process first, so `deno run` never gets that far.
  if (Deno.args.length > 0) Deno.exit(await main(Deno.args));
  addEventListener("load", () => listening || main([]));
}
