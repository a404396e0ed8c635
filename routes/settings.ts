/**
 * What `serve` can be told, by flag or by environment variable; a flag wins.
 *
 * Knows every setting's name, form and default, in one table that is also the help text. Knows
 * nothing of what the settings do.
 */
import { z } from "zod";
import { ACTIVATIONS } from "../model/activation_names.ts";
import { PATHS } from "../model/path_names.ts";
import { type Option, readFlags, SettingsError } from "./setting_flags.ts";
import { address, bytes, key, list, origin, whole } from "./setting_forms.ts";

function option<Schema extends z.ZodType>(option: Option<Schema>): Option<Schema> {
  return option;
}

const OPTIONS = {
  "model": option({
    variable: "MODEL",
    placeholder: "MODEL",
    help: "a checkpoint's folder, or owner/name[:revision] (default: a small built-in model)",
    expected: "a folder or a name",
    schema: z.string().optional(),
  }),
  "host": option({
    variable: "HOST",
    placeholder: "ADDRESS",
    help: "where to listen; 0.0.0.0 for every network (default: 127.0.0.1)",
    expected: "a host name or address",
    schema: z.string().regex(/^[\w.:%-]+$/).default("127.0.0.1"),
  }),
  "port": option({
    variable: "PORT",
    placeholder: "NUMBER",
    help: "0 for any free port (default: 8080)",
    expected: "a whole number from 0 to 65535",
    schema: whole(0, 65535).default(8080),
  }),
  "queue": option({
    variable: "QUEUE_LIMIT",
    placeholder: "NUMBER",
    help: "requests that may wait behind those that run; further ones get 429 (default: 128)",
    expected: "a whole number from 1 to 1000000",
    schema: whole(1, 1e6).default(128),
  }),
  "parallel": option({
    variable: "PARALLEL",
    placeholder: "NUMBER",
    help: "requests that are answered together (default: 128; 4 where a CPU does the GPU's work)",
    expected: "a whole number from 1 to 1024",
    schema: whole(1, 1024).optional(),
  }),
  "queue-seconds": option({
    variable: "QUEUE_SECONDS",
    placeholder: "NUMBER",
    help: "how long a request may wait for its turn; then it gets 429 (default: 120)",
    expected: "a whole number from 1 to 86400",
    schema: whole(1, 86400).default(120),
  }),
  "api-key": option({
    variable: "API_KEYS",
    placeholder: "KEY",
    help:
      "a key that clients must send as a bearer token; may be repeated (default: no key needed)",
    expected: "visible ASCII characters without a comma",
    schema: list(key),
    list: true,
    secret: true,
  }),
  "cors-origin": option({
    variable: "CORS_ORIGINS",
    placeholder: "ORIGIN",
    help: "whose web pages may use this server; may be repeated, * for all (default: only its own)",
    expected: "an origin as browsers send it, such as https://app.example, or *",
    schema: list(z.literal("*").or(origin)),
    list: true,
  }),
  "allowed-host": option({
    variable: "ALLOWED_HOSTS",
    placeholder: "NAME",
    help: "a name that requests may be addressed to beside localhost; may be repeated",
    expected: "a host name without a port",
    schema: list(z.string().regex(/^([\w.-]+|\[[\da-f:.]+\])$/i)),
    list: true,
  }),
  "engine": option({
    variable: "ENGINE",
    placeholder: "URL",
    help: "a GPU sidecar that computes instead of this process; may be repeated (default: none)",
    expected: "a server's address, such as http://10.0.0.7:8080",
    schema: list(address),
    list: true,
  }),
  "sidecar-key": option({
    variable: "SIDECAR_KEY",
    placeholder: "KEY",
    help: "opens a sidecar to edges that have the same key (default: this is no sidecar)",
    expected: "visible ASCII characters without a comma",
    schema: key.optional(),
    secret: true,
  }),
  "gpu-memory": option({
    variable: "GPU_MEMORY",
    placeholder: "SIZE",
    help:
      "GPU memory for the KV cache, as bytes or like 2GiB (default: what the card has, up to 2GiB)",
    expected: "a number of bytes or a size such as 2GiB",
    schema: bytes.optional(),
  }),
  "path": option({
    variable: "DECODE_PATH",
    placeholder: "PATH",
    help: "how tokens are decoded: portable, persistent, or auto, the fastest that works (default)",
    expected: "portable, persistent or auto",
    schema: z.enum(PATHS).optional(),
  }),
  "activations": option({
    variable: "ACTIVATIONS",
    placeholder: "FORM",
    help: "form of batches and prompts: int16 (default), or f16 or int8, faster and less exact",
    expected: "int16, f16 or int8",
    schema: z.enum(ACTIVATIONS).default("int16"),
  }),
  "deterministic": option({
    variable: "DETERMINISTIC",
    placeholder: "",
    help: "a seeded answer is the same whatever else is computed beside it, at some cost in speed",
    expected: "true or false",
    schema: z.enum(["true", "false"]).default("false").transform((text) => text === "true"),
    flag: true,
  }),
  "prompt-lookup": option({
    variable: "PROMPT_LOOKUP",
    placeholder: "NUMBER",
    help: "tokens guessed from the dialogue so far and verified in one step (default: 0, none)",
    expected: "a whole number from 0 to 8",
    schema: whole(0, 8).default(0),
  }),
  "max-binding": option({
    variable: "MAX_BINDING_BYTES",
    placeholder: "SIZE",
    help: "largest part of a buffer that one kernel may see, to test small GPUs",
    expected: "a number of bytes or a size such as 128MiB",
    schema: bytes.optional(),
  }),
  "drain-seconds": option({
    variable: "DRAIN_SECONDS",
    placeholder: "NUMBER",
    help: "how long running answers may go on after SIGTERM or SIGINT (default: 30)",
    expected: "a whole number from 0 to 86400",
    schema: whole(0, 86400).default(30),
  }),
  "stall-seconds": option({
    variable: "STALL_SECONDS",
    placeholder: "NUMBER",
    help: "how long a client may leave a stream unread; then it is ended (default: 60)",
    expected: "a whole number from 1 to 86400",
    schema: whole(1, 86400).default(60),
  }),
};

export { SettingsError };

export type Settings = {
  [Name in keyof typeof OPTIONS]: z.output<(typeof OPTIONS)[Name]["schema"]>;
};

/**
 * @param args flags, as `--port 8080` or `--port=8080`
 * @param variables the environment; an empty variable counts as absent
 * @throws {SettingsError} at the first flag or variable that is wrong
 */
export function readSettings(
  args: string[],
  variables: Readonly<Record<string, string | undefined>>,
): Settings {
  const flags = readFlags(args, OPTIONS);
  const given = new Set<string>();
  const entries = Object.entries(OPTIONS).map(([name, option]) => {
    const { variable, expected, schema, list, secret } = option as Option<z.ZodType>;
    const flag = flags.get(name);
    const texts = flag ?? readVariable(variables[variable], list);
    const text = list ? texts : texts?.at(-1);
    if (text !== undefined) given.add(name);
    const { success, data } = schema.safeParse(text);
    if (!success) {
      const source = flag === undefined ? variable : `--${name}`;
      const found = secret
        ? "something else"
        : [text].flat().map((t) => JSON.stringify(t)).join(", ");
      throw new SettingsError(`${source} must be ${expected}, found ${found}.`);
    }
    return [name, data];
  });
  const settings = Object.fromEntries(entries) as Settings;
  if (settings.engine.length > 0) checkEdge(settings, given);
  return settings;
}

/** Settings of a GPU, which a server that has sidecars does not use. */
const GPU_SETTINGS = [
  "gpu-memory",
  "parallel",
  "path",
  "activations",
  "deterministic",
  "prompt-lookup",
  "max-binding",
];

function checkEdge(settings: Settings, given: ReadonlySet<string>): void {
  if (settings["sidecar-key"] === undefined) {
    throw new SettingsError("--engine needs the sidecars' key: --sidecar-key KEY.");
  }
  const name = GPU_SETTINGS.find((name) => given.has(name));
  if (name !== undefined) {
    throw new SettingsError(`--${name} is for the sidecar: it means nothing beside --engine.`);
  }
}

/**
 * The environment's variables that are settings. Those that this process may not read count as
 * absent, so that it needs no right to read them all.
 */
export function settingsVariables(): Record<string, string | undefined> {
  const names = Object.values(OPTIONS).map(({ variable }) => variable);
  return Object.fromEntries(
    names.filter((variable) =>
      Deno.permissions.querySync({ name: "env", variable }).state === "granted"
    ).map((name) => [name, Deno.env.get(name)]),
  );
}

function readVariable(text: string | undefined, list?: true): string[] | undefined {
  if (!text) return undefined;
  return list ? text.split(",").map((part) => part.trim()) : [text];
}

/** Whether the flags ask for the help text, whatever else they say. */
export function wantsHelp(args: string[]): boolean {
  return args.includes("--help") || args.includes("-h");
}

/** The flags and variables, a line each. */
export function settingsHelp(): string {
  const lines = Object.entries(OPTIONS).map(([name, { variable, placeholder, help }]) =>
    `  ${`--${name} ${placeholder}`.padEnd(24)} ${variable.padEnd(18)} ${help}`
  );
  return [...lines, `  ${"--help".padEnd(24)} ${"".padEnd(18)} this text`].join("\n") + "\n";
}
