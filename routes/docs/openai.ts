/**
 * OpenAI's routes in the document.
 *
 * Knows the shapes of the answers, for readers; the shapes themselves are made in
 * `openai_shapes.ts`.
 */
import { z } from "zod";
import { chatRequest, completionRequest } from "../openai_schema.ts";
import { usage } from "../usage.ts";
import type { NamedSchemas, Operation } from "./operation.ts";

const logprob = z.number().nullable();
const finish = z.enum(["stop", "length"]).nullable();

const head = {
  id: z.string(),
  created: z.int().describe("seconds since 1970"),
  model: z.string().describe("the model that is loaded, whatever was asked for"),
  system_fingerprint: z.string(),
};
const chunkUsage = usage.nullable().optional()
  .describe("with stream_options.include_usage: in the last chunk, which has no choice");

const completionChoice = z.object({
  text: z.string(),
  index: z.int(),
  logprobs: z.object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(logprob),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(z.int()),
  }).nullable(),
  finish_reason: finish,
});
const completion = z.object({
  ...head,
  object: z.literal("text_completion"),
  choices: z.array(completionChoice),
  usage,
});
const completionChunk = completion.extend({ usage: chunkUsage });

const scored = { token: z.string(), logprob, bytes: z.array(z.int()) };
const chatLogprobs = z.object({
  content: z.array(z.object({ ...scored, top_logprobs: z.array(z.object(scored)) })),
  refusal: z.null(),
}).nullable();
const chat = z.object({
  ...head,
  object: z.literal("chat.completion"),
  choices: z.array(z.object({
    index: z.int(),
    message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
    logprobs: chatLogprobs,
    finish_reason: finish,
  })),
  usage,
});
const chatChunk = z.object({
  ...head,
  object: z.literal("chat.completion.chunk"),
  choices: z.array(z.object({
    index: z.int(),
    delta: z.object({
      role: z.literal("assistant").optional(),
      content: z.string().optional(),
      refusal: z.null().optional(),
    }),
    logprobs: chatLogprobs,
    finish_reason: finish,
  })),
  usage: chunkUsage,
});

const model = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  max_model_len: z.int().describe("tokens that prompt and answer may have"),
});

export const openAiError = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe("the field that is wrong"),
    code: z.string().nullable(),
  }),
});

export const openAiRequests: NamedSchemas = {
  CompletionRequest: completionRequest,
  ChatCompletionRequest: chatRequest,
};

export const openAiAnswers: NamedSchemas = {
  Completion: completion,
  CompletionChunk: completionChunk,
  CompletionChoice: completionChoice,
  ChatCompletion: chat,
  ChatCompletionChunk: chatChunk,
  Usage: usage,
  Model: model,
  OpenAiError: openAiError,
};

const tag = "OpenAI";

export const openAiOperations: Operation[] = [
  {
    method: "post",
    path: "/v1/chat/completions",
    tag,
    summary:
      "The next turn of a dialogue, whole or by `stream` in chunks, after which comes [DONE]",
    body: chatRequest,
    example: { messages: [{ role: "user", content: "Bonjour !" }], max_completion_tokens: 40 },
    answer: chat,
    events: chatChunk,
  },
  {
    method: "post",
    path: "/v1/completions",
    tag,
    summary: "What follows a text, whole or by `stream` in chunks, after which comes [DONE]",
    body: completionRequest,
    example: { prompt: "- Bonjour !\n-", max_tokens: 40, stop: "\n" },
    answer: completion,
    events: completionChunk,
  },
  {
    method: "get",
    path: "/v1/models",
    tag,
    summary: "The model, in a list of one",
    answer: z.object({ object: z.literal("list"), data: z.array(model) }),
  },
  {
    method: "get",
    path: "/v1/models/{model}",
    params: { model: "claire-tiny" },
    tag,
    summary: "The model, by its name",
    answer: model,
  },
];
