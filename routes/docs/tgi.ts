/**
 * Text Generation Inference's routes in the document.
 *
 * Knows the shapes of the answers, for readers; the shapes themselves are made in `tgi_shapes.ts`.
 */
import { z } from "zod";
import { chatRequest, completionRequest } from "../openai_schema.ts";
import { tgiParameters, tgiRequest } from "../tgi_schema.ts";
import type { NamedSchemas, Operation } from "./operation.ts";

const logprob = z.number().nullable()
  .describe("natural logarithm, after penalties and truncation; null if ruled out");
const seed = z.number().nullable().describe("null if nothing was drawn");
const reason = z.enum(["length", "eos_token", "stop_sequence"]);

const token = z.object({
  id: z.int(),
  text: z.string(),
  logprob,
  special: z.boolean(),
});
const promptToken = z.object({ id: z.int(), text: z.string(), logprob: z.number().nullable() });

const sequence = {
  finish_reason: reason,
  generated_tokens: z.int(),
  seed,
  prefill: z.array(promptToken),
  tokens: z.array(token),
  top_tokens: z.array(z.array(token)).optional(),
};
const details = z.object({
  ...sequence,
  best_of_sequences: z.array(z.object({ generated_text: z.string(), ...sequence })).optional(),
});
const answer = z.object({ generated_text: z.string(), details: details.optional() });

const event = z.object({
  index: z.int().describe("from 1"),
  token,
  top_tokens: z.array(token).optional(),
  generated_text: z.string().nullable().describe("the whole answer, in the last event"),
  details: z.object({
    finish_reason: reason,
    generated_tokens: z.int(),
    seed,
    input_length: z.int(),
  }).nullable(),
});

const span = z.object({ id: z.int(), text: z.string(), start: z.int(), stop: z.int() });

export const tgiRequests: NamedSchemas = {
  TgiRequest: tgiRequest,
  TgiParameters: tgiParameters,
};

export const tgiAnswers: NamedSchemas = {
  TgiAnswer: answer,
  TgiDetails: details,
  TgiToken: token,
  TgiPromptToken: promptToken,
  TgiEvent: event,
};

const tag = "Text Generation Inference";
const example = {
  inputs: "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n-",
  parameters: { max_new_tokens: 64, do_sample: true, stop: ["\n"] },
};

export const tgiOperations: Operation[] = [
  {
    method: "post",
    path: "/generate",
    tag,
    summary: "The whole answer",
    body: tgiRequest,
    example,
    answer,
  },
  {
    method: "post",
    path: "/generate_stream",
    tag,
    summary: "The answer as an event a token; an error after the first is an event too",
    body: tgiRequest,
    example,
    events: event,
  },
  {
    method: "post",
    path: "/",
    tag,
    summary: "Either, by `stream`; a whole answer is a list of one and repeats the prompt",
    body: tgiRequest,
    example: { ...example, stream: false },
    answer: z.array(answer),
    events: event,
  },
  {
    method: "post",
    path: "/tokenize",
    tag,
    summary: "The tokens of `inputs`, and where each lies in its UTF-8",
    body: tgiRequest,
    example: { inputs: "Bonjour !" },
    answer: z.array(span),
  },
  {
    method: "post",
    path: "/invocations",
    tag,
    summary: "`POST /` or an OpenAI route, by whether there are inputs, messages or a prompt",
    body: z.union([tgiRequest, completionRequest, chatRequest]),
    example: { ...example, stream: false },
    answer: z.array(answer),
    events: event,
  },
];
