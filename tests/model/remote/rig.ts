/** Sidecars with fake engines on loopback, and an edge's engine over them. */
import {
  type Engine,
  type GenerateRequest,
  GREEDY,
  type TokenEvent,
} from "../../../model/engine.ts";
import { connectRemoteEngine } from "../../../model/remote/remote_engine.ts";
import { createApp } from "../../../routes/app.ts";
import { END_OF_TEXT, tokenizer } from "../../routes/helpers.ts";
import { FakeEngine, type FakeEngineOptions } from "../fake_engine.ts";

export const KEY = "between-us";

export function request(changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    prompt: [20, 21],
    maxNewTokens: 5,
    sampling: GREEDY,
    stopTokens: [END_OF_TEXT],
    topTokens: 0,
    promptLogprobs: false,
    ...changes,
  };
}

/** A sidecar that listens; what it answers may be changed by `intercept`. */
export class FakeSidecar implements AsyncDisposable {
  readonly engine: FakeEngine;
  readonly url: string;
  readonly port: number;
  /** Answers in place of the app, if it answers. */
  intercept: ((request: Request) => Response | undefined) | undefined;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(options: FakeEngineOptions = {}, { port = 0, fingerprint = "f00d" } = {}) {
    this.engine = new FakeEngine(options);
    const text = Promise.resolve({ tokenizer, stopTokens: [END_OF_TEXT], fingerprint });
    const app = createApp({ engine: this.engine, text, sidecarKey: KEY });
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen() {} },
      (request) => this.intercept?.(request) ?? app.fetch(request),
    );
    this.port = this.#server.addr.port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Passes on so many lines of every answer, then breaks the connection. */
  breakAfter(lines: string[]): void {
    this.intercept = ({ method }) => {
      if (method !== "POST") return undefined;
      const chunks = lines.map((line) => new TextEncoder().encode(`data: [${line}]\n\n`));
      return new Response(
        new ReadableStream({
          async pull(controller) {
            const chunk = chunks.shift();
            if (chunk) return controller.enqueue(chunk);
            // What was written before is on its way.
            await new Promise((resolve) => setTimeout(resolve, 20));
            controller.error(new Error("broken on purpose"));
          },
        }),
      );
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.close();
    await this.#server.shutdown();
  }
}

export interface Edge {
  engine: Engine;
  notes: string[];
}

/** Runs `body` with an edge's engine over the sidecars, and closes it. */
export async function withEdge(
  sidecars: readonly { url: string }[],
  body: (edge: Edge) => Promise<void>,
  { key = KEY, fingerprint = "f00d" } = {},
): Promise<void> {
  const notes: string[] = [];
  const engine = connectRemoteEngine({
    urls: sidecars.map(({ url }) => url),
    key,
    fingerprint: Promise.resolve(fingerprint),
    onNote: (sentence) => notes.push(sentence),
  });
  try {
    await body({ engine, notes });
  } finally {
    await engine.close();
  }
}

export async function eventsOf(
  engine: Engine,
  changes: Partial<GenerateRequest> = {},
  signal?: AbortSignal,
): Promise<TokenEvent[]> {
  return await Array.fromAsync(engine.generate(request(changes), signal));
}
