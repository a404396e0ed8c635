/**
 * OpenAI's routes: `/v1/completions`, `/v1/chat/completions` and `/v1/models`.
 *
 * Knows the order of the work (read, check, generate, shape), choices and usage. Knows no field and
 * no rule by itself: those are in the other `openai_` files.
 */
import { Hono } from "hono";
import type { z } from "zod";
import type { TokenTextEvent } from "../model/text_generation.ts";
import {
  affinityOf,
  type Body,
  readBody,
  type RouteContext,
  streamResponse,
} from "./generation.ts";
import { answerParts, type ChoiceRequest } from "./openai_answer.ts";
import { chatJob } from "./openai_chat.ts";
import { completionJob } from "./openai_completion.ts";
import { OpenAiError, openAiIssue } from "./openai_errors.ts";
import { type Job, type JobOptions, nthChoice } from "./openai_job.ts";
import { chatRequest, completionRequest } from "./openai_schema.ts";
import {
  CHAT,
  type ChoicePart,
  COMPLETION,
  envelope,
  modelShape,
  type Shapes,
} from "./openai_shapes.ts";
import type { RouteEnv } from "./request_log.ts";
import { type ReadyModel, readyModel, type Service } from "./service.ts";
import { severalAnswers } from "./several.ts";
import { usageOf } from "./usage.ts";

/** One of the two routes that generate. */
interface Api<Schema extends z.ZodType> {
  schema: Schema;
  job: (request: z.output<Schema>, options: JobOptions) => Job;
  shapes: Shapes;
}

const completions = { schema: completionRequest, job: completionJob, shapes: COMPLETION };
const chat = { schema: chatRequest, job: chatJob, shapes: CHAT };

export function openAiRoutes(service: Service): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  const started = Math.floor(Date.now() / 1000);

  app.post("/v1/completions", async (c) => {
    return await answerCompletion(c, service, await readBody(c, service));
  });
  app.post("/v1/chat/completions", async (c) => {
    return await answerChat(c, service, await readBody(c, service));
  });

  app.get("/v1/models", async (c) => {
    const { info } = await readyModel(service);
    return c.json({ object: "list", data: [modelShape(info, started)] });
  });
  // A model's name may have slashes.
  app.get("/v1/models/:model{.+}", async (c) => {
    const { info } = await readyModel(service);
    const name = c.req.param("model");
    if (name === info.model) return c.json(modelShape(info, started));
    throw new OpenAiError(
      `The model '${name}' does not exist`,
      "model",
      "model_not_found",
      404,
    );
  });
  return app;
}

export function answerCompletion(
  c: RouteContext,
  service: Service,
  body: Body,
): Promise<Response> {
  return answer(c, service, body, completions);
}

export function answerChat(c: RouteContext, service: Service, body: Body): Promise<Response> {
  return answer(c, service, body, chat);
}

async function answer<Schema extends z.ZodType>(
  c: RouteContext,
  service: Service,
  { model, json }: Body,
  api: Api<Schema>,
): Promise<Response> {
  const { data, error } = api.schema.safeParse(json);
  if (error) throw openAiIssue(error, json);
  const job = api.job(data as z.output<Schema>, { model, limits: service.limits });
  for (const { request } of job.prompts) Object.assign(request, affinityOf(c));
  const work: Work = {
    c,
    service,
    model,
    job,
    shapes: api.shapes,
    since: performance.now(),
    cached: new Map(),
  };
  const lengths = job.prompts.map(({ request }) => request.prompt.length);
  c.get("record").promptTokens = lengths.reduce((a, b) => a + b);
  return job.stream ? stream(work) : c.json(await whole(work));
}

/** A request in the course of being answered. */
interface Work {
  c: RouteContext;
  service: Service;
  model: ReadyModel;
  job: Job;
  shapes: Shapes;
  since: number;
  /** For each prompt, the most of its tokens that an answer to it found computed. */
  cached: Map<ChoiceRequest, number>;
}

/** A choice that is complete, and how likely it is. */
interface Choice extends ChoicePart {
  meanLogprob: number;
}

async function whole(work: Work) {
  const { c, job: { prompts, n, bestOf }, shapes, model } = work;
  const { id, ...rest } = envelope(shapes, model.info);
  const drawn = prompts.flatMap(() => Array.from({ length: bestOf }, newChoice));
  const add = (i: number, { index, logprob }: TokenTextEvent) => {
    const choice = drawn[i]!;
    choice.meanLogprob += (logprob - choice.meanLogprob) / index;
  };
  for await (const [i, part] of allParts(work, bestOf, c.req.raw.signal, add)) {
    const choice = drawn[i]!;
    choice.text += part.text;
    choice.tokens.push(...part.tokens);
    choice.tokenizer = part.tokenizer;
    if (part.finish) choice.finish = part.finish;
  }
  const choices = prompts.flatMap((_, p) => {
    const all = drawn.slice(p * bestOf, (p + 1) * bestOf);
    // Sorting is stable: without `best_of` the order is that of their seeds.
    if (bestOf > n) all.sort((a, b) => b.meanLogprob - a.meanLogprob);
    return all.slice(0, n);
  });
  return {
    id,
    object: shapes.object,
    ...rest,
    choices: choices.map((choice, index) => shapes.choice({ ...choice, index })),
    usage: usageOf(c),
  };
}

function newChoice(): Choice {
  return { index: 0, text: "", tokens: [], tokenizer: undefined, meanLogprob: 0 };
}

function stream(work: Work): Promise<Response> {
  return streamResponse(work.c, work.service, {
    events: (signal) => chunks(work, signal),
    since: work.since,
    last: "[DONE]",
  });
}

async function* chunks(work: Work, signal: AbortSignal) {
  const { c, job: { n, includeUsage }, shapes, model } = work;
  const { id, ...rest } = envelope(shapes, model.info);
  const head = { id, object: shapes.chunkObject, ...rest };
  // Whoever asks for the usage finds the field in every chunk.
  const none = includeUsage ? { usage: null } : {};
  const begun = new Set<number>();
  for await (const [index, part] of allParts(work, n, signal)) {
    const choices = [shapes.chunk({ ...part, index }, !begun.has(index))];
    begun.add(index);
    yield { ...head, choices, ...none };
  }
  if (includeUsage) yield { ...head, choices: [], usage: usageOf(c) };
}

/** The parts of all answers to all prompts, `each` a prompt, as they come; answers count through. */
function allParts(
  work: Work,
  each: number,
  signal: AbortSignal,
  onToken: (i: number, token: TokenTextEvent) => void = () => {},
) {
  const starts = work.job.prompts.flatMap((prompt, p) =>
    Array.from(
      { length: each },
      (_, nth) => (signal: AbortSignal) =>
        choiceParts(work, prompt, nth, signal, (token) => onToken(p * each + nth, token)),
    )
  );
  return severalAnswers(starts, work.model.info.slots, signal);
}

/** The parts of one choice, and the record of what it takes. */
async function* choiceParts(
  { c, service, model, job, since, cached }: Work,
  prompt: ChoiceRequest,
  nth: number,
  signal: AbortSignal,
  onToken: (token: TokenTextEvent) => void,
): AsyncGenerator<Omit<ChoicePart, "index">> {
  const record = c.get("record");
  const request = nthChoice(prompt.request, nth);
  const tokenizer = job.scored ? model.tokenizer : undefined;
  const parts = answerParts(service, model, { ...prompt, request }, signal, (token) => {
    record.tokens = (record.tokens ?? 0) + 1;
    record.generationMs = performance.now() - since;
    cached.set(prompt, Math.max(cached.get(prompt) ?? 0, token.cachedTokens ?? 0));
    record.cachedTokens = cached.values().reduce((sum, tokens) => sum + tokens, 0);
    onToken(token);
  });
  for await (const part of parts) yield { ...part, tokenizer };
}
