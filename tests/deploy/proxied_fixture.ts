/**
 * A server with a fake engine, to stand behind a proxy. Arguments: its name, which is its model's,
 * and the milliseconds of silence before a comment.
 *
 * Each token waits for an order on standard input: "token" lets one go, "flow" all of them, "new" all
 * those of later requests. So a test knows which events cannot have been sent yet. "drain" refuses
 * new requests, as SIGTERM does. Says on standard error when a token goes and when the engine sees
 * that a client left.
 */
import type { GenerateRequest, TokenEvent } from "../../model/engine.ts";
import { createApp } from "../../routes/app.ts";
import { printLogLine } from "../../routes/serve.ts";
import { FakeEngine } from "../model/fake_engine.ts";
import { END_OF_TEXT, ids, tokenizer } from "../routes/helpers.ts";

const [name, keepAlive] = Deno.args;

class GatedEngine extends FakeEngine {
  flowing = false;
  /** Whether requests that begin from now on wait for no orders. */
  free = false;
  allowed = 0;
  #heard = Promise.withResolvers<void>();

  wake(): void {
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  override async *generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<TokenEvent> {
    const gone = Promise.withResolvers<void>();
    signal?.addEventListener("abort", () => {
      console.error("A client left.");
      gone.resolve();
    });
    const { free } = this;
    for await (const event of super.generate(request, signal)) {
      while (!free && !this.flowing && this.allowed === 0 && !signal?.aborted) {
        await Promise.race([this.#heard.promise, gone.promise]);
      }
      signal?.throwIfAborted();
      if (!free && !this.flowing) this.allowed--;
      if (!free) console.error("A token goes.");
      yield event;
    }
  }
}

const engine = new GatedEngine({ script: ids("Oui. "), delay: 2, info: { model: name! } });
const app = createApp({
  engine,
  text: Promise.resolve({ tokenizer, fingerprint: "", stopTokens: [END_OF_TEXT] }),
  limits: { keepAlive: Number(keepAlive) },
  log: printLogLine,
});
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  (request) => app.fetch(request),
);
console.error(`Listening on http://127.0.0.1:${server.addr.port}; ready.`);

for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  for (const order of chunk.trim().split("\n")) {
    if (order === "token") engine.allowed++;
    if (order === "flow") engine.flowing = true;
    if (order === "new") engine.free = true;
    if (order === "drain") engine.drain();
    engine.wake();
  }
}
