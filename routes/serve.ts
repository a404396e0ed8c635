/**
 * `serve`: a server's life from its first port to its exit code.
 *
 * Knows listening, loading, signals, draining and how each of them ends. Knows no route and no GPU.
 * What people read goes to standard error; standard output carries the request log, a JSON line
 * each.
 */
import type { Engine, EngineInfo } from "../model/engine.ts";
import { accessOf, exposure, sidecarKeyOf } from "./access.ts";
import { createApp } from "./app.ts";
import type { Backend } from "./backend.ts";
import { banner, serverUrl } from "./banner.ts";
import { type LoadProgress, reportProgress } from "./progress.ts";
import type { RequestLogLine } from "./request_log.ts";
import { limitsOf } from "./service.ts";
import {
  readSettings,
  type Settings,
  SettingsError,
  settingsHelp,
  settingsVariables,
  wantsHelp,
} from "./settings.ts";

export const help = `Serve a model over HTTP.

Usage: deno task serve [flags]

Flags, and the environment variables that say the same:

${settingsHelp()}
Exit code: 0 after SIGTERM or SIGINT; 1 if it cannot listen or load; 2 for wrong flags; 70 if the GPU
was lost, for a supervisor to start it again.
`;

export const EXIT = { stopped: 0, failed: 1, usage: 2, lost: 70 };

/** Seconds that answers get to reach their clients after the last token was computed. */
export const FLUSH_SECONDS = 2;

const SIGNALS: Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/** Returns the exit code. */
export async function run(args: string[]): Promise<number> {
  if (wantsHelp(args)) {
    console.log(help);
    return EXIT.stopped;
  }
  let settings: Settings;
  try {
    settings = readSettings(args, settingsVariables());
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(`${error.message} Try --help.`);
    return EXIT.usage;
  }
  const { startBackend } = await import("./backend.ts");
  return await serve(settings, startBackend);
}

/**
 * Listens at once and says "loading" until the model is there; returns the exit code.
 *
 * @param start begins to load; called only once the port is ours
 */
export async function serve(
  settings: Settings,
  start: (settings: Settings, onProgress: (progress: LoadProgress) => void) => Backend,
): Promise<number> {
  let server: Deno.HttpServer<Deno.NetAddr>;
  const { host: hostname, port } = settings;
  try {
    server = Deno.serve({ hostname, port, onListen() {} }, (request) => app.fetch(request));
  } catch (error) {
    console.error(whyNotListening(error, hostname, port));
    return EXIT.failed;
  }
  const stopped = firstSignal();
  const progress = reportProgress();
  const { engine, text } = start(settings, progress.update);
  const access = accessOf(settings, hostname);
  const app = createApp({
    engine,
    text,
    limits: limitsOf(settings),
    access,
    sidecarKey: sidecarKeyOf(settings),
    log: printLogLine,
  });
  const url = serverUrl(hostname, server.addr.port);
  console.error(`Listening on ${url}; the model is loading.`);
  const warning = exposure(access, hostname);
  if (warning !== undefined) console.error(warning);

  const end = await Promise.race([
    stopped,
    lifeOf(engine, text, (info) => {
      progress.stop();
      console.error(banner(url, info, access.keys.length > 0));
    }),
  ]);
  progress.stop();
  console.error(end.sentence);
  const seconds = end.code === EXIT.stopped ? settings["drain-seconds"] : 0;
  await shutDown(server, engine, seconds);
  return end.code;
}

export function printLogLine(line: RequestLogLine): void {
  console.log(JSON.stringify({ time: new Date().toISOString(), ...line }));
}

interface End {
  code: number;
  sentence: string;
}

/** Settles when the model cannot be loaded, or can no longer be used. */
async function lifeOf(
  engine: Engine,
  text: Backend["text"],
  onReady: (info: EngineInfo) => void,
): Promise<End> {
  try {
    const [info] = await Promise.all([engine.ready, text]);
    onReady(info);
  } catch (error) {
    return {
      code: EXIT.failed,
      sentence: error instanceof Error ? error.message : String(error),
    };
  }
  const reason = await engine.lost;
  return { code: EXIT.lost, sentence: `The GPU can no longer be used: ${reason}` };
}

/** Settles at the first signal to stop; a second one ends the process there and then. */
export function firstSignal(): Promise<End> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of SIGNALS) {
      Deno.addSignalListener(signal, () => {
        if (asked) Deno.exit(EXIT.failed);
        asked = true;
        const sentence =
          `${signal}: no new requests; running answers may end. Again to stop at once.`;
        resolve({ code: EXIT.stopped, sentence });
      });
    }
  });
}

/**
 * Refuses new requests and lets running answers end; those still going after `seconds` end with an
 * error event.
 *
 * @param server undefined where a host has the listener, and nobody knows what is read by now
 */
export async function shutDown(
  server: Deno.HttpServer | undefined,
  engine: Engine,
  seconds: number,
): Promise<void> {
  const drained = await within(seconds, engine.drain());
  const flushed = within(FLUSH_SECONDS, server?.shutdown() ?? new Promise(() => {}));
  // Answers that are complete but not yet read would be lost with the engine.
  if (drained) await flushed;
  await engine.close();
  await flushed;
}

/** Waits for `promise`, but no longer than that; whether it settled in time. */
async function within(seconds: number, promise: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), seconds * 1000);
  });
  const settled = await Promise.race([promise.then(() => true), patience]);
  clearTimeout(timer);
  return settled;
}

function whyNotListening(error: unknown, hostname: string, port: number): string {
  if (error instanceof Deno.errors.AddrInUse) {
    const other = port < 65535 ? port + 1 : port - 1;
    return `Port ${port} on ${hostname} is taken by another program: ` +
      `choose another one, for example with --port ${other}.`;
  }
  if (error instanceof Deno.errors.NotCapable) {
    return `Deno was not allowed to listen on ${hostname}, port ${port}: see --allow-net.`;
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return `This user may not listen on port ${port}: choose one above 1023 with --port.`;
  }
  return `Cannot listen on ${hostname}, port ${port}: is it an address of this machine? See --host.`;
}
