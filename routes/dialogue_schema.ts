/**
 * The JSON that Claire's own routes take and give.
 *
 * Knows names, types, bounds, defaults and what each field is for; null counts as absent, and an
 * unknown field is refused by name. Knows no rule between fields: that is `dialogue_job.ts`.
 */
import { z } from "zod";
import { FORMATS, MAX_NAME } from "../model/prompt.ts";
import { validationError } from "./errors.ts";
import { LIMITS } from "./service.ts";
import { usage } from "./usage.ts";

/**
 * What a request leaves open. Temperature, top_k, top_p and max_tokens are those of Claire's own
 * demo. Its repetition penalty of 1.5 is not: the penalty counts the prompt's tokens too, so it also
 * holds down the line break and the "[" that end a turn, as soon as the prompt has a turn, and
 * answers would run on. 1.1 is what the card of the GPTQ files recommends.
 */
export const CLAIRE = {
  temperature: 1,
  top_k: 10,
  top_p: 0.99,
  min_p: 0,
  typical_p: 1,
  repetition_penalty: 1.1,
  max_tokens: 200,
};

const { min: leastPenalty, max: mostPenalty } = LIMITS.repetitionPenalty;

/** A field that may be left out. */
function optional<Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  fallback?: unknown,
) {
  return schema.nullish()
    .meta({ description, ...(fallback !== undefined && { default: fallback }) });
}

const name = z.string().max(MAX_NAME);
const text = z.string().max(LIMITS.inputCharacters);

const givenTurn = z.strictObject({
  speaker: optional(name, "Left out in a monologue, or where two speakers take turns."),
  text: text.meta({ description: "One turn; line breaks and brackets in it are made harmless." }),
});

const promptFields = {
  turns: z.array(givenTurn).min(1).max(LIMITS.dialogueTurns)
    .meta({ description: "The dialogue so far, oldest first." }),
  format: optional(
    z.enum(FORMATS),
    "How the dialogue is written for the model. Default: one turn of nobody is a monologue, " +
      "names left out are dashes, numbers (Intervenant 1, speaker001) are intervenant, other " +
      "names are named.",
  ),
  next: optional(name, "Who answers. Default: the other one of two speakers."),
  start: optional(text, "How the answer begins; it is part of the answer."),
  normalise: optional(
    z.boolean(),
    "Write the turns as the training text was: straight quotes, plain blanks and dashes, …",
    true,
  ),
  asr: optional(
    z.boolean(),
    "Write the turns as speech recognition does: normalised, lower case, no punctuation.",
    false,
  ),
};

export const promptRequest = z.strictObject(promptFields)
  .meta({ id: "PromptRequest", title: "What POST /v1/prompts takes" });

export const dialogueRequest = z.strictObject({
  ...promptFields,
  max_tokens: optional(
    z.int().min(1).max(1_000_000),
    "Longest answer in tokens. By default less where the context has no room for it.",
    CLAIRE.max_tokens,
  ),
  temperature: optional(
    z.number().min(0).max(LIMITS.temperature),
    "0 for the likeliest token each time.",
    CLAIRE.temperature,
  ),
  top_p: optional(
    z.number().gt(0).max(1),
    "Keep the likeliest tokens that make up this share; 1: all.",
    CLAIRE.top_p,
  ),
  top_k: optional(
    z.int().min(0).max(2 ** 31 - 1),
    "Keep this many of the likeliest tokens; 0: all.",
    CLAIRE.top_k,
  ),
  min_p: optional(
    z.number().min(0).max(1),
    "Keep tokens at least this fraction as probable as the best.",
    CLAIRE.min_p,
  ),
  typical_p: optional(
    z.number().gt(0).max(1),
    "Keep this share of the tokens of typical probability; 1: all.",
    CLAIRE.typical_p,
  ),
  repetition_penalty: optional(
    z.number().min(leastPenalty).max(mostPenalty),
    "Divides the logits of tokens in prompt and answer; 1: none.",
    CLAIRE.repetition_penalty,
  ),
  seed: optional(
    z.int().min(0),
    "The same seed and request give the same answer. Default: drawn, and told in the answer.",
  ),
  max_turns: optional(
    z.int().min(1).max(LIMITS.answerTurns),
    "Stop after so many turns. Default: 1; with until, no limit.",
  ),
  until: optional(name, "Stop when this speaker would speak next."),
  tidy: optional(
    z.boolean(),
    "Leave out the last sentence if max_tokens cuts it off, unless it is a long one.",
    true,
  ),
  stream: optional(z.boolean(), "Server-sent events as the answer comes.", false),
}).meta({ id: "DialogueRequest", title: "What POST /v1/dialogues takes" });

export const parseRequest = z.strictObject({
  prompt: text.meta({ description: "A dialogue in any of the four formats." }),
  normalise: optional(z.boolean(), "Normalise it first, [speaker001:] and its like too.", false),
}).meta({ id: "ParseRequest", title: "What POST /v1/prompts/parse takes" });

const turn = z.object({ speaker: z.string(), text: z.string() });
const format = z.enum(FORMATS);
const speakers = z.array(z.string())
  .meta({ description: "By first appearance, who answers included." });
const finishReason = z.enum(["turn", "turns", "until", "length", "eos"]).meta({
  description:
    "turn: the answer's turn ended; turns: max_turns did; until: that speaker is next; " +
    "length: max_tokens were generated; eos: the model ended the dialogue.",
});
const seed = z.int().nullable().meta({ description: "null where nothing was drawn." });

export const promptAnswer = z.object({
  prompt: z.string(),
  format,
  speakers,
  names: z.record(z.string(), z.string())
    .meta({ description: "The speakers by what the prompt calls them." }),
  next: z.string(),
  stop: z.array(z.string()).meta({ description: "What ends a turn in generated text." }),
  prompt_tokens: z.int(),
}).meta({ id: "PromptAnswer", title: "What POST /v1/prompts gives" });

export const parseAnswer = z.object({
  format,
  speakers,
  turns: z.array(turn),
  next: z.string().nullable()
    .meta({ description: "Whose turn is opened at the end, without a word yet." }),
}).meta({ id: "ParseAnswer", title: "What POST /v1/prompts/parse gives" });

export const dialogueAnswer = z.object({
  id: z.string(),
  object: z.literal("dialogue"),
  created: z.int().meta({ description: "Seconds since 1970." }),
  model: z.string(),
  format,
  turns: z.array(turn).meta({ description: "The answer: one turn, or as many as were asked for." }),
  finish_reason: finishReason,
  usage,
  prompt: z.string().meta({ description: "What the model was given, exactly." }),
  seed,
}).meta({ id: "DialogueAnswer", title: "What POST /v1/dialogues gives" });

/** The data of each event of a stream, by the event's name. */
export const dialogueEvents = {
  turn_start: z.object({ speaker: z.string() }),
  text: z.object({ speaker: z.string(), delta: z.string() }),
  turn_end: z.object({ speaker: z.string() }),
  done: z.object({ finish_reason: finishReason, usage, prompt: z.string(), seed }),
  error: z.object({ error: z.string(), error_type: z.string() }),
};

export type PromptRequest = z.output<typeof promptRequest>;
export type DialogueRequest = z.output<typeof dialogueRequest>;
export type PromptAnswer = z.output<typeof promptAnswer>;
export type ParseAnswer = z.output<typeof parseAnswer>;
export type DialogueAnswer = z.output<typeof dialogueAnswer>;
export type Done = z.output<typeof dialogueEvents["done"]>;

/** @throws {ApiError} 422 naming the first field that is wrong */
export function parseBody<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
): z.output<Schema> {
  const { data, error } = schema.safeParse(json);
  if (!error) return data;
  const { path, message } = error.issues[0]!;
  const field = path.length > 0 ? `\`${path.join(".")}\`: ` : "";
  // An unknown key is named, and could be of any length.
  throw validationError(field + message.slice(0, 200));
}
