/**
 * TGI's generation routes: `POST /generate`, `POST /generate_stream`, and `POST /`, which is both.
 *
 * Knows the order of the work (read, validate, generate, shape) and TGI's headers. Knows no rule
 * and no field by itself: those are in `tgi_validation.ts` and `tgi_shapes.ts`.
 */
import { Hono } from "hono";
import {
  type EndTextEvent,
  generateText,
  type TextEvent,
  type TextRequest,
  type TokenTextEvent,
} from "../model/text_generation.ts";
import {
  affinityOf,
  type Body,
  readBody,
  type RouteContext,
  streamResponse,
  type WholeAnswer,
  wholeAnswer,
} from "./generation.ts";
import type { RequestRecord, RouteEnv } from "./request_log.ts";
import { randomSeed } from "./sampling_values.ts";
import { type ReadyModel, scoped, type Service } from "./service.ts";
import { severalAnswers, type Start } from "./several.ts";
import { parseTgiRequest } from "./tgi_schema.ts";
import { type Answer, detailsShape, streamDetailsShape, streamShape } from "./tgi_shapes.ts";
import { type TgiJob, validate } from "./tgi_validation.ts";

export function tgiRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();

  app.post("/generate", async (c) => {
    const call = readCall(c, service, await readBody(c, service), {
      fullText: false,
      stream: false,
    });
    return c.json(await answer(c, service, call));
  });

  app.post("/generate_stream", async (c) => {
    const call = readCall(c, service, await readBody(c, service), {
      fullText: false,
      stream: true,
    });
    return stream(c, service, call);
  });

  app.post("/", async (c) => compatGenerate(c, service, await readBody(c, service)));

  return app;
}

/** What Hugging Face's InferenceClient calls; its answers come in a list, as from a batch. */
export async function compatGenerate(
  c: RouteContext,
  service: Service,
  body: Body,
): Promise<Response> {
  const call = readCall(c, service, body, { fullText: true });
  return call.stream ? stream(c, service, call) : c.json([await answer(c, service, call)]);
}

/** A request that was accepted, and when. */
interface Call {
  job: TgiJob;
  model: ReadyModel;
  stream: boolean;
  arrived: number;
  validated: number;
}

function readCall(
  c: RouteContext,
  { limits }: Service,
  { model, json, arrived }: Body,
  defaults: { fullText: boolean; stream?: boolean },
): Call {
  const request = parseTgiRequest(json);
  const stream = defaults.stream ?? request.stream ?? false;
  const { fullText } = defaults;
  const job = validate(request, { model, limits, stream, fullText });
  Object.assign(job.request, affinityOf(c));
  c.get("record").promptTokens = job.request.prompt.length;
  return { job, model, stream, arrived, validated: performance.now() };
}

/** Generates everything, then answers; of several answers it is the likeliest one, token by token. */
async function answer(c: RouteContext, service: Service, call: Call) {
  const { job, model } = call;
  const record = c.get("record");
  const waits = service.engine.stats().waiting > 0;
  const starts = Array.from({ length: job.bestOf }, (_, n): Start<Answer & WholeAnswer> => {
    const request = n === 0 ? job.request : reseeded(job.request);
    const seed = job.seed === null ? null : request.sampling.seed;
    return async function* (signal) {
      yield { ...await wholeAnswer(service, model, request, signal), seed };
    };
  });
  const answers: (Answer & WholeAnswer)[] = [];
  for await (
    const [n, next] of severalAnswers(starts, model.info.slots, c.req.raw.signal)
  ) {
    answers[n] = next;
    record.tokens = (record.tokens ?? 0) + next.end.generatedTokens;
    record.generationMs = performance.now() - call.validated;
  }
  const best = answers.reduce((a, b) => meanLogprob(b) > meanLogprob(a) ? b : a);
  const others = answers.filter((other) => other !== best);

  // The engine does not say when a request leaves its queue: behind others, the first event does.
  setHeaders(c, call, best.end, waits ? answers[0]!.began : call.validated);
  const prefix = job.fullText ? job.inputs : "";
  return {
    generated_text: prefix + best.end.text,
    ...(job.details && { details: detailsShape(best, others, prefix) }),
  };
}

function reseeded(request: TextRequest): TextRequest {
  return { ...request, sampling: { ...request.sampling, seed: randomSeed() } };
}

function meanLogprob({ tokens }: Answer): number {
  return tokens.reduce((sum, token) => sum + token.processedLogprob, 0) / tokens.length;
}

function stream(c: RouteContext, service: Service, call: Call): Promise<Response> {
  const { job, model } = call;
  return streamResponse(c, service, {
    events: (signal) => {
      const asked = scoped(job.request, model);
      const events = generateText(service.engine, model.tokenizer, asked, signal);
      return streamEvents(events, job, c.get("record"));
    },
    since: call.validated,
    headers: computeHeaders(call),
  });
}

/** An event a token; the last one carries the whole text too, so it waits for the answer's end. */
async function* streamEvents(
  events: AsyncGenerator<TextEvent>,
  { inputs, fullText, request, details, seed }: TgiJob,
  record: RequestRecord,
) {
  const prefix = fullText ? inputs : "";
  let text = "";
  let last: TokenTextEvent | undefined;
  for await (const event of events) {
    if (event.type === "token") {
      record.tokens = event.index;
      text += event.safeText;
      if (isLast(event, request, text)) last = event;
      else yield streamShape(event);
    } else if (event.type === "end") {
      yield streamShape(last!, {
        text: prefix + event.text,
        details: details ? streamDetailsShape(event, seed) : null,
      });
    }
  }
}

/** Whether the answer ends with this token; `text` is the answer so far, which keeps stop strings. */
function isLast(token: TokenTextEvent, request: TextRequest, text: string): boolean {
  return token.index === request.maxNewTokens || request.stopTokens.includes(token.id) ||
    request.stop.some((stop) => stop !== "" && text.endsWith(stop.toWellFormed()));
}

function computeHeaders({ job, model }: Call): Record<string, string> {
  return {
    "x-compute-type": model.info.software ? "cpu" : "gpu+optimized",
    "x-compute-characters": String([...job.inputs].length),
  };
}

/** TGI's headers of a complete answer: seconds in `x-compute-time`, else whole milliseconds. */
function setHeaders(c: RouteContext, call: Call, end: EndTextEvent, started: number): void {
  const now = performance.now();
  const { arrived, validated } = call;
  const milliseconds = {
    "x-total-time": now - arrived,
    "x-validation-time": validated - arrived,
    "x-queue-time": started - validated,
    "x-inference-time": now - started,
    "x-time-per-token": (now - started) / end.generatedTokens,
  };
  const headers = {
    ...computeHeaders(call),
    "x-compute-time": String((now - arrived) / 1000),
    ...Object.fromEntries(
      Object.entries(milliseconds).map(([name, value]) => [name, String(Math.floor(value))]),
    ),
    "x-prompt-tokens": String(end.promptTokens),
    "x-generated-tokens": String(end.generatedTokens),
  };
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
}
