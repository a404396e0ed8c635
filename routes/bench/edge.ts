/**
 * `deno task bench-edge`: what an edge costs before a sidecar on the same machine.
 *
 * The same requests go to a server that has the engine (a paced one, without a model) and to an edge
 * in front of it, turn by turn; each of them and the client is a process. Knows HTTP only.
 */
import { fileURLToPath } from "node:url";
import { builtinModel } from "../../model/builtin.ts";
import { median } from "../../model/statistics.ts";
import { loadTextSide } from "../../model/text_side.ts";
import { serve } from "../serve.ts";
import { readSettings } from "../settings.ts";
import { pacedEngine } from "./paced_engine.ts";

const KEY = "bench";
const PROMPT = "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n-";
const ROUNDS = 15;
/** Milliseconds a token: 416 tokens/s, what an H200 does for one stream; and as fast as it goes. */
const PACES = [2.4, 0];
const LOADS = [{ streams: 1, tokens: 400 }, { streams: 8, tokens: 200 }];

interface Measured {
  /** Milliseconds from a request to its first token. */
  first: number;
  /** Of all streams together. */
  tokensPerSecond: number;
}

if (import.meta.main) {
  if (Deno.args[0] === "sidecar") await sidecar(Number(Deno.args[1]));
  else for (const pace of PACES) await compare(pace);
}

/** A server over a paced engine, until it is told to stop. */
async function sidecar(interval: number): Promise<void> {
  const text = await loadTextSide(builtinModel());
  const [id] = text.tokenizer.encode("oui");
  const settings = readSettings(["--port", "0", "--sidecar-key", KEY], {});
  const backend = { engine: pacedEngine(interval, id!), text: Promise.resolve(text) };
  Deno.exit(await serve(settings, () => backend));
}

async function compare(interval: number): Promise<void> {
  const own = fileURLToPath(import.meta.url);
  const main = fileURLToPath(new URL("../../main.ts", import.meta.url));
  await using direct = await start([own, "sidecar", String(interval)], /ready on (\S+)/);
  const edgeFlags = ["--port", "0", "--engine", direct.url, "--sidecar-key", KEY];
  await using edge = await start([main, "serve", ...edgeFlags], /ready on (\S+)/);
  console.log(interval > 0 ? `\nA token every ${interval} ms` : "\nAs fast as it goes");
  for (const load of LOADS) {
    const runs: [Measured, Measured][] = [];
    for (let round = -2; round < ROUNDS; round++) {
      const pair: [Measured, Measured] = [
        await measure(direct.url, load),
        await measure(edge.url, load),
      ];
      if (round >= 0) runs.push(pair);
    }
    const first = [0, 1].map((i) => median(runs.map((run) => run[i]!.first)));
    const rate = [0, 1].map((i) => median(runs.map((run) => run[i]!.tokensPerSecond)));
    const loss = 100 * (1 - rate[1]! / rate[0]!);
    console.log(
      `  ${load.streams} × ${load.tokens} tokens: first token ${first[0]!.toFixed(2)} ms, ` +
        `through the edge ${(first[1]! - first[0]!).toFixed(2)} ms more; ` +
        `${rate[0]!.toFixed(0)} tokens/s, through the edge ${loss.toFixed(1)} % less`,
    );
  }
}

async function measure(url: string, load: typeof LOADS[number]): Promise<Measured> {
  const start = performance.now();
  const firsts = await Promise.all(
    Array.from({ length: load.streams }, () => stream(url, load.tokens)),
  );
  const seconds = (performance.now() - start) / 1000;
  return { first: median(firsts), tokensPerSecond: load.streams * load.tokens / seconds };
}

/** Milliseconds to the first token. @throws {Error} when the answer is not whole */
async function stream(url: string, tokens: number): Promise<number> {
  const body = JSON.stringify({ inputs: PROMPT, parameters: { max_new_tokens: tokens } });
  const headers = { "content-type": "application/json" };
  const start = performance.now();
  const response = await fetch(`${url}/generate_stream`, { method: "POST", headers, body });
  let first = 0;
  let text = "";
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    first ||= performance.now() - start;
    text += part;
  }
  // Counted at the end: a part may end anywhere, within "data:" too.
  const seen = text.split("data:").length - 1;
  if (seen !== tokens) throw new Error(`An answer had ${seen} events instead of ${tokens}.`);
  return first;
}

interface Started extends AsyncDisposable {
  url: string;
}

/** A process that runs until it is disposed of; `ready` finds its URL in what it says. */
async function start(args: string[], ready: RegExp): Promise<Started> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ...args],
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  });
  const child = command.spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!ready.test(said)) {
    const { done, value } = await lines.read();
    if (done) throw new Error(`It ended before it was ready: ${said}`);
    said += value;
  }
  return {
    url: ready.exec(said)![1]!,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await lines.cancel();
      await child.status;
    },
  };
}
