/**
 * Claire's own routes: `POST /v1/dialogues`, `POST /v1/prompts`, `POST /v1/prompts/parse`.
 *
 * Knows the order of the work and the answers' fields. Knows no rule: those are in
 * `dialogue_job.ts`, and how turns are written and read in `model/prompt.ts`.
 */
import { Hono } from "hono";
import {
  normaliseText,
  parsePrompt,
  type Turn,
  type TurnEvent,
  TurnParser,
} from "../model/prompt.ts";
import { type EndTextEvent, generateText } from "../model/text_generation.ts";
import { type DialogueJob, dialogueJob, openPrompt } from "./dialogue_job.ts";
import {
  type DialogueAnswer,
  dialogueRequest,
  type Done,
  type ParseAnswer,
  parseBody,
  parseRequest,
  type PromptAnswer,
  promptRequest,
} from "./dialogue_schema.ts";
import { affinityOf, readBody, type RouteContext, streamResponse } from "./generation.ts";
import { readJson } from "./json_body.ts";
import type { RouteEnv } from "./request_log.ts";
import { type ReadyModel, scoped, type Service } from "./service.ts";
import { usageOf } from "./usage.ts";

export function dialogueRoutes(service: Service): Hono<RouteEnv> {
  const { limits } = service;
  const app = new Hono<RouteEnv>();

  app.post("/v1/dialogues", async (c) => {
    const { model, json } = await readBody(c, service);
    const job = dialogueJob(parseBody(dialogueRequest, json), { model, limits });
    Object.assign(job.request, affinityOf(c));
    c.get("record").promptTokens = job.request.prompt.length;
    const since = performance.now();
    if (!job.stream) return c.json(await answer(c, service, model, job));
    return streamResponse(c, service, {
      events: (signal) => events(c, service, model, job, signal),
      since,
      named: true,
    });
  });

  app.post("/v1/prompts", async (c) => {
    const { model, json } = await readBody(c, service);
    const built = openPrompt(parseBody(promptRequest, json), { model, limits });
    const { prompt, format, speakers, names, next, stop } = built;
    const tokens = model.tokenizer.encode(prompt).length;
    c.get("record").promptTokens = tokens;
    const body: PromptAnswer = {
      prompt,
      format,
      speakers,
      names: Object.fromEntries(names),
      next,
      stop: [...stop],
      prompt_tokens: tokens,
    };
    return c.json(body);
  });

  app.post("/v1/prompts/parse", async (c) => {
    const json = await readJson(c.req.raw, limits.bodyBytes);
    const { prompt, normalise } = parseBody(parseRequest, json);
    const body: ParseAnswer = parsePrompt(normalise ? normaliseText(prompt) : prompt);
    return c.json(body);
  });

  return app;
}

type DoneEvent = Done & { type: "done" };

/** Sentences are held back this near to the end of the budget, or in its second half if it is small. */
const TIDY_TOKENS = 64;

/** The events of an answer, as they are streamed. Leaving them early ends the generation. */
async function* events(
  c: RouteContext,
  { engine }: Service,
  model: ReadyModel,
  { built, request, parsing, tidy, seed }: DialogueJob,
  signal: AbortSignal,
): AsyncGenerator<TurnEvent | DoneEvent> {
  const record = c.get("record");
  const { maxNewTokens } = request;
  const tidyTokens = Math.min(TIDY_TOKENS, maxNewTokens / 2);
  const parser = new TurnParser(built, parsing);
  let reason: EndTextEvent["reason"] | undefined;
  let last: TurnEvent[] = [];
  const asked = scoped(request, model);
  for await (const event of generateText(engine, model.tokenizer, asked, signal)) {
    if (event.type === "end") reason = event.reason;
    if (event.type !== "token") continue;
    record.tokens = event.index;
    record.cachedTokens ??= event.cachedTokens ?? 0;
    // What is out cannot be taken back, so only sentences that may be cut off are held back.
    parser.tidy = tidy && maxNewTokens - event.index < tidyTokens;
    const turnEvents = parser.push(event.safeText);
    if (parser.finished) {
      // Leave the engine first: a slow reader must not keep the GPU at work.
      last = turnEvents;
      break;
    }
    yield* turnEvents;
  }
  yield* last;
  yield* parser.flush({ complete: reason !== "length" });
  yield {
    type: "done",
    finish_reason: parser.finished ?? (reason === "length" ? "length" : "eos"),
    usage: usageOf(c),
    prompt: built.prompt,
    seed,
  };
}

/** The same events, put together. */
async function answer(
  c: RouteContext,
  service: Service,
  model: ReadyModel,
  job: DialogueJob,
): Promise<DialogueAnswer> {
  const began = performance.now();
  const turns: Turn[] = [];
  for await (const event of events(c, service, model, job, c.req.raw.signal)) {
    if (event.type === "turn_start") turns.push({ speaker: event.speaker, text: "" });
    else if (event.type === "text") turns.at(-1)!.text += event.delta;
    else if (event.type === "done") {
      c.get("record").generationMs = performance.now() - began;
      const { finish_reason, usage, prompt, seed } = event;
      return {
        id: `dialogue-${c.get("requestId")}`,
        object: "dialogue",
        created: Math.floor(Date.now() / 1000),
        model: model.info.model,
        format: job.built.format,
        turns,
        finish_reason,
        usage,
        prompt,
        seed,
      };
    }
  }
  throw new Error("a dialogue ended without an end");
}
