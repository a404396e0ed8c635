/**
 * The server as a `fetch` function: for `deno serve`, and for hosts that bring their own listener.
 *
 * Knows that the engine starts once, with the first request or earlier, and that settings can only
 * come from the environment here. Knows no port.
 */
import { accessOf, exposure, sidecarKeyOf } from "./access.ts";
import type { Engine } from "../model/engine.ts";
import { createApp } from "./app.ts";
import { startBackend } from "./backend.ts";
import { serverUrl } from "./banner.ts";
import { reportProgress } from "./progress.ts";
import { EXIT, firstSignal, FLUSH_SECONDS, printLogLine, shutDown } from "./serve.ts";
import { limitsOf } from "./service.ts";
import { readSettings, type Settings, SettingsError, settingsVariables } from "./settings.ts";

let app: ReturnType<typeof createApp> | undefined;

/** Seconds that the first requests wait for an edge to find its sidecars. */
const FIND_SECONDS = 5;
let found: Promise<unknown> = Promise.resolve();

/** Answers a request, starting the engine if nobody has. */
export async function fetch(request: Request): Promise<Response> {
  const app = start();
  await found;
  return await app.fetch(request);
}

/**
 * Begins to load the model, once; ends the process if that, or later the GPU, fails.
 *
 * @param address where `deno serve` listens
 */
export function start(address?: Deno.Addr): NonNullable<typeof app> {
  const hostname = address?.transport === "tcp" ? address.hostname : undefined;
  if (address?.transport === "tcp") {
    const url = serverUrl(address.hostname, address.port);
    console.error(`Listening on ${url}; the model is loading.`);
  }
  if (app) return app;
  const settings = settingsOrExit();
  const progress = reportProgress();
  const { engine, text } = startBackend(settings, progress.update);
  // A host starts an edge with its first request: to refuse that as "loading" would be a pity.
  if (settings.engine.length > 0) found = soon(engine.ready, FIND_SECONDS);
  const limits = limitsOf(settings);
  const access = accessOf(settings, hostname);
  const warning = hostname !== undefined && exposure(access, hostname);
  if (warning) console.error(warning);
  const sidecarKey = sidecarKeyOf(settings);
  app = createApp({ engine, text, limits, access, sidecarKey, log: printLogLine });
  Promise.all([engine.ready, text]).finally(progress.stop).then(
    ([info]) => console.error(`Clairon serves ${info.model} on ${info.adapter}.`),
    (error) => exitWith(EXIT.failed, error instanceof Error ? error.message : String(error)),
  );
  engine.lost.then((reason) => {
    console.error(`The GPU can no longer be used: ${reason}`);
    // Those who wait for an answer are told first.
    setTimeout(() => Deno.exit(EXIT.lost), FLUSH_SECONDS * 1000);
  });
  if (address) drainAtSignal(engine, settings["drain-seconds"]);
  return app;
}

/** Deno 2.9.6 does not end at SIGTERM by itself while a worker runs. */
async function drainAtSignal(engine: Engine, seconds: number): Promise<void> {
  const { code, sentence } = await firstSignal();
  console.error(sentence);
  await shutDown(undefined, engine, seconds);
  Deno.exit(code);
}

/** Waits for `promise`, whatever comes of it, but no longer than that. */
async function soon(promise: Promise<unknown>, seconds: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise((resolve) => timer = setTimeout(resolve, seconds * 1000));
  await Promise.race([promise.catch(() => {}), patience]);
  clearTimeout(timer);
}

function settingsOrExit(): Settings {
  try {
    return readSettings([], settingsVariables());
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    exitWith(EXIT.usage, error.message);
  }
}

function exitWith(code: number, sentence: string): never {
  console.error(sentence);
  Deno.exit(code);
}
