/**
 * A server as strict as OpenAI's, and as small as can be: it shares no code with ours.
 *
 * Knows `/v1/models`, `/v1/completions` and `/v1/chat/completions`, streamed. A token is a word to
 * it; each of its events holds several, so that whoever counts events counts wrong.
 */
const TOKENS_PER_EVENT = 4;
/** Tokens that it adds to a prompt, as chat templates do. */
export const FIXED = 7;
const TAKEN = ["model", "prompt", "messages", "max_tokens", "temperature", "top_p", "stream"];

export interface Received {
  path: string;
  // deno-lint-ignore no-explicit-any
  body: any;
  key: string | null;
  prompt: string;
}

export interface Behaviour {
  /** Takes top_k and its like, as vLLM does. */
  lenient?: boolean;
  /** What becomes of the nth request that is not a refusal of fields, from 0. */
  fate?: (nth: number) => "answer" | "busy" | "error event" | "broken" | "hang";
  /** Waited for before the first event. */
  gate?: (nth: number) => Promise<void>;
  usage?: boolean;
  /** Has vLLM's `/tokenize`, which knows nothing of what is added. */
  counts?: boolean;
}

export class OpenAiServer implements AsyncDisposable {
  readonly received: Received[] = [];
  underWay = 0;
  mostUnderWay = 0;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();

  constructor(private readonly behaviour: Behaviour = {}) {
    const onListen = () => {};
    const options = { hostname: "127.0.0.1", port: 0, onListen, signal: this.#stop.signal };
    this.#server = Deno.serve(options, (request) => this.#answer(request));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#server.finished;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname: path } = new URL(request.url);
    if (path === "/v1/models") return Response.json({ data: [{ id: "minimal" }] });
    const body = await request.json();
    if (path === "/tokenize") {
      const counts = this.behaviour.counts ?? false;
      return counts ? Response.json({ count: words(body.prompt) }) : refusal(404, "Not found");
    }
    const unknown = Object.keys(body).find((name) =>
      !TAKEN.includes(name) && name !== "stream_options"
    );
    if (unknown && !this.behaviour.lenient) {
      return refusal(400, `Unrecognized request argument supplied: ${unknown}`);
    }
    const prompt = path === "/v1/chat/completions"
      ? body.messages.map(({ content }: { content: string }) => content).join("")
      : body.prompt;
    const nth = this.received.length;
    const key = request.headers.get("authorization");
    this.received.push({ path, body, key, prompt });
    const fate = this.behaviour.fate?.(nth) ?? "answer";
    if (fate === "busy") return refusal(429, "Too many requests");
    const events = this.#events(path, body.max_tokens, words(prompt) + FIXED, fate, nth);
    const stream = ReadableStream.from(events).pipeThrough(new TextEncoderStream());
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  }

  async *#events(path: string, most: number, promptTokens: number, fate: string, nth: number) {
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`;
    const choice = (text: string, finish: string | null) =>
      path === "/v1/chat/completions"
        ? { index: 0, delta: { content: text }, finish_reason: finish }
        : { index: 0, text, finish_reason: finish };
    try {
      await this.behaviour.gate?.(nth);
      if (path === "/v1/chat/completions") {
        yield event({ choices: [{ index: 0, delta: { role: "assistant" } }] });
      }
      for (let made = 0; made < most || fate === "hang"; made += TOKENS_PER_EVENT) {
        // Lets the client see events apart.
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (fate === "error event" && made > 0) {
          yield event({ error: { message: "The GPU is on fire" } });
          return;
        }
        if (fate === "broken" && made > 0) return;
        const count = Math.min(TOKENS_PER_EVENT, most - made);
        yield event({ choices: [choice(" mot".repeat(Math.max(count, 1)), null)] });
      }
      yield event({ choices: [choice("", "length")] });
      if (this.behaviour.usage ?? true) {
        const usage = {
          ...{ prompt_tokens: promptTokens, completion_tokens: most },
          prompt_tokens_details: { cached_tokens: nth },
        };
        yield event({ choices: [], usage });
      }
      yield "data: [DONE]\n\n";
    } finally {
      this.underWay--;
    }
  }
}

function refusal(status: number, message: string): Response {
  return Response.json({ error: { message, type: "x", param: null, code: null } }, { status });
}

function words(text: string): number {
  return text.split(/\s+/).filter((word) => word !== "").length;
}
