/**
 * KoboldAI's routes in the document.
 *
 * Knows the shapes of the answers, for readers; the answers are made in `kobold_answer.ts`.
 */
import { z } from "zod";
import { koboldDetokenize, koboldGenerate, koboldKey, koboldTokenCount } from "../kobold_schema.ts";
import type { NamedSchemas, Operation } from "./operation.ts";

const reason = z.enum(["stop", "length"]).nullable();
const answer = z.object({
  results: z.array(z.object({
    text: z.string(),
    finish_reason: reason,
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
  })),
});
const event = z.object({ token: z.string(), finish_reason: reason.describe("in the last event") });
const progress = z.object({ results: z.array(z.object({ text: z.string() })) });
const result = z.object({ result: z.string() });
const value = z.object({ value: z.int() });
const version = z.object({
  result: z.string(),
  version: z.string(),
  protected: z.boolean().describe("whether a key is needed"),
  ...Object.fromEntries(
    ["txt2img", "vision", "transcribe", "multiplayer", "websearch", "tts", "embeddings"]
      .map((feature) => [feature, z.literal(false)]),
  ),
  admin: z.literal(0),
});
const figures = z.object({
  last_process: z.number().describe("seconds until the first token"),
  last_eval: z.number().describe("seconds from there to the end"),
  last_token_count: z.int(),
  last_input_count: z.int(),
  last_seed: z.int(),
  stop_reason: z.int().describe("0 length, 1 end of text, 2 stop sequence, -1 none yet"),
  total_gens: z.int(),
  queue: z.int(),
  idle: z.int().describe("1 if no answer of these routes is in progress"),
  hordeexitcounter: z.literal(-1),
  uptime: z.int().describe("seconds"),
  idletime: z.int().describe("seconds"),
  quiet: z.literal(true),
});

export const koboldRequests: NamedSchemas = {
  KoboldRequest: koboldGenerate,
  KoboldKey: koboldKey,
};

export const koboldAnswers: NamedSchemas = {
  KoboldAnswer: answer,
  KoboldEvent: event,
  KoboldFigures: figures,
};

const tag = "KoboldAI";
const example = { prompt: "Il était une fois", max_length: 40, temperature: 0.7, genkey: "K1" };

export const koboldOperations: Operation[] = [
  {
    method: "post",
    path: "/api/v1/generate",
    tag,
    summary: "The whole answer, or n of them; fields that are not listed are ignored",
    body: koboldGenerate,
    example,
    answer,
  },
  {
    method: "post",
    path: "/api/extra/generate/stream",
    tag,
    summary: "The answer as events named `message`; one named `error` tells of an error",
    body: koboldGenerate,
    example,
    events: event,
  },
  {
    method: "get",
    path: "/api/extra/generate/check",
    tag,
    summary: "The text so far of the answer in progress that has no genkey",
    answer: progress,
  },
  {
    method: "post",
    path: "/api/extra/generate/check",
    tag,
    summary: "The text so far of the answer in progress with this genkey",
    body: koboldKey,
    optionalBody: true,
    example: { genkey: "K1" },
    answer: progress,
  },
  {
    method: "post",
    path: "/api/extra/abort",
    tag,
    summary: "Ends the answers with this genkey; they are given as far as they got",
    body: koboldKey,
    optionalBody: true,
    example: { genkey: "K1" },
    answer: z.object({ success: z.boolean().describe("whether there were any") }),
  },
  {
    method: "post",
    path: "/api/extra/tokencount",
    tag,
    summary: "The token ids of a text, and how many",
    body: koboldTokenCount,
    example: { prompt: "Bonjour !" },
    answer: z.object({ value: z.int(), ids: z.array(z.int()) }),
  },
  {
    method: "post",
    path: "/api/extra/detokenize",
    tag,
    summary: "The text of token ids",
    body: koboldDetokenize,
    example: { ids: [100, 101] },
    answer: z.object({ result: z.string(), success: z.literal(true) }),
  },
  ...([
    ["/api/extra/perf", "Figures of the last answer, and what the server does now", figures],
    ["/api/extra/version", "The KoboldCpp version whose routes these are", version],
    ["/api/v1/info/version", "The KoboldAI United version whose API this is", result],
    ["/api/v1/model", "The model's name", result],
    ["/api/v1/config/max_context_length", "Tokens that prompt and answer may have", value],
    ["/api/extra/true_max_context_length", "The same", value],
    ["/api/v1/config/max_length", "The default of max_length", value],
  ] as const).map(([path, summary, answer]): Operation => ({
    method: "get",
    path,
    tag,
    summary,
    answer,
  })),
];
