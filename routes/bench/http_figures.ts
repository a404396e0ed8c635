/**
 * What a client of the server sees: how long the first token takes, and how evenly the rest come.
 *
 * Knows one streaming route, over a real connection to this machine. Client and server share a
 * thread, so that the figures are rather too high than too low. Knows no GPU.
 */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Engine } from "../../model/engine.ts";
import { median, percentile } from "../../model/statistics.ts";
import { createApp } from "../app.ts";
import { type Plan, SAMPLING } from "./plan.ts";
import type { Prompts } from "./prompts.ts";

export interface HttpFigures {
  /** Milliseconds from sending a request to its first token, of `promptTokens`. */
  firstToken: number;
  promptTokens: number;
  /** Milliseconds between two tokens that 99 of 100 gaps do not exceed. */
  gap: number;
}

/** @throws {Error} when the server refuses the request or the answer holds no second token */
export async function httpFigures(
  engine: Engine,
  prompts: Prompts,
  plan: Plan,
  onProgress: (what: string) => void,
): Promise<HttpFigures> {
  onProgress("streams over HTTP");
  // Without tokens that end an answer every stream has its full length.
  const text = Promise.resolve({ tokenizer: prompts.tokenizer, stopTokens: [], fingerprint: "" });
  const app = createApp({ engine, text });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => app.fetch(request),
  );
  try {
    return await measure(`http://127.0.0.1:${server.addr.port}/generate_stream`, prompts, plan);
  } finally {
    await server.shutdown();
  }
}

async function measure(url: string, prompts: Prompts, plan: Plan): Promise<HttpFigures> {
  const ask = async () => {
    const prompt = prompts.text(plan.httpPrompt);
    return { prompt, times: await stream(url, prompt, plan.tokens) };
  };
  const until = performance.now() + plan.warmUp;
  do await ask(); while (performance.now() < until);
  const firsts: number[] = [];
  const gaps: number[] = [];
  let promptTokens = 0;
  while (firsts.length < plan.runs) {
    const { prompt, times } = await ask();
    promptTokens = prompts.tokenizer.encode(prompt).length;
    firsts.push(times[0]!);
    for (let i = 1; i < times.length; i++) gaps.push(times[i]! - times[i - 1]!);
  }
  return { firstToken: median(firsts), promptTokens, gap: percentile(gaps, 99) };
}

/** Milliseconds from the request to each token. */
async function stream(url: string, inputs: string, tokens: number): Promise<number[]> {
  const body = JSON.stringify({
    inputs,
    parameters: {
      max_new_tokens: tokens,
      do_sample: true,
      temperature: SAMPLING.temperature,
      top_k: SAMPLING.topK,
      top_p: SAMPLING.topP,
      repetition_penalty: SAMPLING.repetitionPenalty,
      seed: 1,
    },
  });
  const headers = { "content-type": "application/json" };
  const started = performance.now();
  const response = await fetch(url, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`The server answered ${response.status} to the bench.`);
  const times: number[] = [];
  const events = response.body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (JSON.parse(data).error) throw new Error("A stream of the bench broke off.");
    times.push(performance.now() - started);
  }
  return times;
}
