/** What route tests share: an app over a fake engine and a byte tokenizer, and ways to call it. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import { byteTokenizerJson } from "../../model/byte_tokenizer.ts";
import { loadTokenizer } from "../../model/tokenizer.ts";
import { type AppOptions, createApp } from "../../routes/app.ts";
import type { RequestLogLine } from "../../routes/request_log.ts";
import { FakeEngine, type FakeEngineOptions } from "../model/fake_engine.ts";

/** Ends a text in the byte tokenizer, as in Falcon's. */
export const END_OF_TEXT = 11;

/** What `usage` says where no block of a prompt was computed before. */
export const NOTHING_CACHED = { prompt_tokens_details: { cached_tokens: 0 } };

/** A delay that no test sits out. */
export const FOREVER = 1e9;

/** Ids 0 to 11 are special, id 12 + b is the byte b. */
export const tokenizer = await loadByteTokenizer();

async function loadByteTokenizer() {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(byteTokenizerJson(268)));
    return await loadTokenizer(`${folder}/tokenizer.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The byte tokenizer's ids of a text, worked out by hand. */
export function ids(text: string): number[] {
  return [...new TextEncoder().encode(text)].map((byte) => byte + 12);
}

export interface TestApp {
  engine: FakeEngine;
  app: ReturnType<typeof createApp>;
  log: RequestLogLine[];
  /** POSTs JSON without a network. */
  post(path: string, body: unknown, signal?: AbortSignal): Promise<Response>;
}

export function testApp(
  engineOptions: FakeEngineOptions = {},
  limits: NonNullable<AppOptions["limits"]> = {},
  access: NonNullable<AppOptions["access"]> = {},
): TestApp {
  const engine = new FakeEngine({ script: ids("Bonjour !\n"), ...engineOptions });
  const log: RequestLogLine[] = [];
  const text = Promise.resolve({ tokenizer, stopTokens: [END_OF_TEXT], fingerprint: "" });
  const app = createApp({ engine, text, limits, access, log: (line) => log.push(line) });
  return {
    engine,
    app,
    log,
    post: async (path, body, signal) => await app.request(path, jsonPost(body, signal)),
  };
}

export function jsonPost(body: unknown, signal?: AbortSignal): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  };
}

/** Runs `body` against a real server on the loopback interface. */
export async function withServer(
  app: TestApp["app"],
  body: (url: string, port: number) => Promise<void>,
): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => app.fetch(request),
  );
  try {
    await body(`http://127.0.0.1:${server.addr.port}`, server.addr.port);
  } finally {
    await server.shutdown();
  }
}

/** The data of each event, parsed; fails on an event that has a name. */
// deno-lint-ignore no-explicit-any
export async function readEvents(response: Response): Promise<any[]> {
  const data = await Array.fromAsync(dataOf(response));
  return data.map((text) => JSON.parse(text));
}

async function* dataOf(response: Response): AsyncGenerator<string> {
  const stream = response.body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const event of stream) {
    if (event.event !== undefined) throw new Error(`an event is named ${event.event}`);
    yield event.data;
  }
}

/** The chunks of a stream as OpenAI has it, and whether its last event is `[DONE]`. */
// deno-lint-ignore no-explicit-any
export async function readStream(response: Response): Promise<{ chunks: any[]; done: boolean }> {
  const data = await Array.fromAsync(dataOf(response));
  const done = data.at(-1) === "[DONE]";
  return { chunks: data.slice(0, done ? -1 : undefined).map((text) => JSON.parse(text)), done };
}

/** Waits until `condition` holds; a test's own time limit ends the wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
