/**
 * The JSON that OpenAI's routes take, with the fields that servers like it add.
 *
 * Knows names, types, bounds and what each field is for; null counts as absent and unknown fields
 * are ignored. Knows no rule between fields: those are in `openai_completion.ts` and
 * `openai_chat.ts`.
 */
import { z } from "zod";
import { FORMATS } from "../model/prompt.ts";
import { LIMITS } from "./service.ts";

/** Bounds that OpenAI names. */
const MOST_LOGPROBS = 5;
const MOST_CHAT_LOGPROBS = 20;

// Messages that are not zod's are the kinds of numbers and types that OpenAI's errors name.
const decimal = (min: number, max: number) =>
  z.number().gte(min, "a decimal").lte(max, "a decimal").nullish();
const integer = (min: number, max: number) =>
  z.int("an integer").gte(min, "an integer").lte(max, "an integer").nullish();
/** What fits 64 bits; JSON.parse has rounded what lies beyond 2^53. */
const wide = z.number("an integer").refine(Number.isInteger, "an integer")
  .gte(-(2 ** 63), "an integer").lte(2 ** 63, "an integer").nullish();
const flag = (description: string) => z.boolean().nullish().describe(description);
/** Values that are looked at only to refuse them by name. */
const anything = z.unknown().optional();

const tokenCount = integer(0, Number.MAX_SAFE_INTEGER);

const { min: leastPenalty, max: mostPenalty } = LIMITS.repetitionPenalty;

/** What both routes take. */
const common = {
  model: z.string().nullish().describe("Any name is accepted; the model that is loaded answers."),
  temperature: decimal(0, 2).describe("0 for the likeliest token each time. Default: 1."),
  top_p: decimal(0, 1).describe("Keep the likeliest tokens that make up this share. Default: 1."),
  n: integer(1, LIMITS.choices).describe("How many answers. Default: 1."),
  stop: z.union([z.string(), z.array(z.string())], "one of a string or an array of strings")
    .nullish()
    .describe(`The answer ends before any of these, at most ${LIMITS.stopSequences}.`),
  seed: wide.describe("Makes the answers repeatable."),
  presence_penalty: decimal(-2, 2)
    .describe("Subtracted once from the logits of tokens in the answer. Default: 0."),
  frequency_penalty: decimal(-2, 2)
    .describe("Subtracted for each time that a token is in the answer. Default: 0."),
  logit_bias: z.record(z.string(), z.number().gte(-100, "a decimal").lte(100, "a decimal"))
    .nullish()
    .describe("Added to the logits of single tokens, by token id."),
  stream: flag("Server-sent events as the answer comes."),
  stream_options: z.object({
    include_usage: flag("One more chunk, with the usage."),
  }).nullish(),
  top_k: integer(-1, 2 ** 31 - 1).describe("Keep this many of the likeliest tokens; 0 or -1: all."),
  min_p: decimal(0, 1)
    .describe("Keep tokens at least this fraction as probable as the best. Default: 0."),
  typical_p: z.number().gt(0, "a decimal").lte(1, "a decimal").nullish()
    .describe("Keep this share of the tokens of typical probability. Default: 1."),
  repetition_penalty: decimal(leastPenalty, mostPenalty)
    .describe("Divides the logits of tokens in prompt and answer. Default: 1."),
  do_sample: flag("false, from Hugging Face's clients, is temperature 0."),
  ignore_eos: flag("Go on after the end of the text, to the full length."),
};

const tokenIds = z.array(z.int()).min(1);

const prompt = z.union(
  [z.string(), z.array(z.string()).min(1), tokenIds, z.array(tokenIds).min(1)],
  "one of a string, or a non-empty array of strings, of token ids, or of arrays of token ids",
);

export const completionRequest = z.object({
  prompt: prompt.describe("One prompt or several, as text or as token ids."),
  ...common,
  max_tokens: tokenCount.describe("Longest answer. Default: 16. 0, with echo: the prompt alone."),
  best_of: integer(1, LIMITS.choices)
    .describe("Generate this many and answer with the n likeliest. Default: n."),
  echo: flag("Begin the answer with the prompt."),
  logprobs: integer(0, MOST_LOGPROBS)
    .describe("Log-probabilities of the tokens, and of this many likeliest ones at each place."),
  suffix: anything,
}).meta({ id: "CompletionRequest", title: "What POST /v1/completions takes" });

const textPart = z.object({ type: z.string(), text: z.string().nullish() });

const message = z.object({
  role: z.enum(["system", "developer", "user", "assistant"])
    .describe("Who speaks; system and developer text comes before the dialogue."),
  content: z.union([z.string(), z.array(textPart)], "one of a string or an array of text parts")
    .nullish(),
  name: z.string().nullish().describe("The speaker's name."),
  tool_calls: anything,
});

export const chatRequest = z.object({
  messages: z.array(message).min(1).describe("The dialogue so far."),
  format: z.enum(FORMATS).nullish()
    .describe(
      "How the dialogue is written for the model. Default: by whether messages have names.",
    ),
  ...common,
  max_tokens: tokenCount.describe("The older name of max_completion_tokens."),
  max_completion_tokens: tokenCount
    .describe("Longest answer. Default: the rest of the context."),
  logprobs: flag("Log-probabilities of the tokens."),
  top_logprobs: integer(0, MOST_CHAT_LOGPROBS).describe("How many likeliest tokens at each place."),
  response_format: z.object({ type: z.string() }).nullish()
    .describe("Plain text is all there is."),
  tools: anything,
  tool_choice: anything,
  functions: anything,
  function_call: anything,
  modalities: anything,
  audio: anything,
}).meta({ id: "ChatCompletionRequest", title: "What POST /v1/chat/completions takes" });

export type CompletionRequest = z.output<typeof completionRequest>;
export type ChatRequest = z.output<typeof chatRequest>;
export type Message = z.output<typeof message>;
/** What the two requests have in common. */
export type CommonRequest = Pick<CompletionRequest & ChatRequest, keyof typeof common>;
