/** An edge and its sidecars as processes of their own, on loopback. */
import { fileURLToPath } from "node:url";
import { builtinModel } from "../../model/builtin.ts";
import { INFO_PATH, type SidecarInfo } from "../../model/remote/protocol.ts";
import { jsonPost, readEvents } from "./helpers.ts";
import { ServerProcess } from "./server_process.ts";

export const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));
const FIXTURE = fileURLToPath(new URL("./sidecar_fixture.ts", import.meta.url));
export const SIDECAR_KEY = "between-us";

/** Variables that the tests set; an edge reads more, and may go without. */
const VARIABLES = ["MODEL", "ENGINE", "SIDECAR_KEY"];

/** All that an edge needs: no FFI, no writing, no other processes. */
export const EDGE_RIGHTS = [
  "--no-prompt",
  "--allow-net",
  `--allow-read=${builtinModel()}`,
  `--allow-env=${VARIABLES.join(",")}`,
];

/** A port that is free now. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

export function fakeSidecar(delay: number, port = 0): ServerProcess {
  const flags = ["--port", String(port), "--sidecar-key", SIDECAR_KEY];
  return new ServerProcess([FIXTURE, ...flags], { FAKE_DELAY: String(delay) });
}

/** A sidecar that computes the built-in model. */
export function builtinSidecar(): ServerProcess {
  return new ServerProcess([MAIN, "serve", "--port", "0", "--sidecar-key", SIDECAR_KEY]);
}

/** An edge with no right that it does not need. */
export function edgeOver(urls: string[]): ServerProcess {
  const engines = urls.flatMap((url) => ["--engine", url]);
  const args = [MAIN, "serve", "--port", "0", ...engines];
  return new ServerProcess(args, { SIDECAR_KEY }, ["run", ...EDGE_RIGHTS]);
}

/** The same under `deno serve`, whose settings come from the environment. */
export function hostedEdgeOver(urls: string[]): ServerProcess {
  const env = { SIDECAR_KEY, ENGINE: urls.join(",") };
  const listener = ["--host", "127.0.0.1", "--port", "0"];
  return new ServerProcess([...listener, MAIN], env, ["serve", ...EDGE_RIGHTS]);
}

/** What a sidecar says of itself. */
export async function infoOf(url: string): Promise<SidecarInfo> {
  const headers = { authorization: `Bearer ${SIDECAR_KEY}` };
  return await (await fetch(url + INFO_PATH, { headers })).json();
}

export async function runningOn(url: string): Promise<number> {
  return (await infoOf(url)).stats.running;
}

/** Waits until `condition` holds; a test's own time limit ends the wait. */
export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** What became of a stream. */
export interface Outcome {
  tokens: number;
  /** The whole text, if it came to its end. */
  text?: string;
  /** The `error_type` of its last event. */
  error?: string;
}

/** Streams one answer through TGI's route and sums it up. @throws when the connection breaks */
export async function stream(url: string, tokens: number, session = ""): Promise<Outcome> {
  const init = jsonPost({ inputs: "Bonjour", parameters: { max_new_tokens: tokens } });
  const headers = { ...init.headers, "x-session-id": session };
  const response = await fetch(`${url}/generate_stream`, { ...init, headers });
  if (!response.ok) return { tokens: 0, error: (await response.json()).error_type };
  const events = await readEvents(response);
  const last = events.at(-1);
  return last.error === undefined
    ? { tokens: events.length, text: last.generated_text }
    : { tokens: events.length - 1, error: last.error_type };
}
