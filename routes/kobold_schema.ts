/**
 * The JSON that KoboldAI's routes take (KoboldAI United, with what KoboldCpp added to it).
 *
 * Knows names, types and ranges, in the words of United's validator; null counts as absent and
 * unknown fields are ignored. A field whose sampler does not exist here takes only the value that
 * switches it off. Knows not what the others do.
 */
import { z } from "zod";
import { ApiError } from "./errors.ts";
import { LIMITS } from "./service.ts";

const text = z.string({ error: "Not a valid string." });
const flag = z.boolean({ error: "Not a valid boolean." });

function within(min: number, max: number) {
  return `Must be greater than or equal to ${min} and less than or equal to ${max}.`;
}

function number(min: number, max: number) {
  const error = within(min, max);
  return z.number({ error: "Not a valid number." }).min(min, { error }).max(max, { error });
}

function whole(min: number, max: number) {
  const error = within(min, max);
  // z.int() would refuse seeds above 2^53, which JSON.parse has rounded.
  return z.number({ error: "Not a valid integer." })
    .refine(Number.isInteger, { error: "Not a valid integer." })
    .min(min, { error }).max(max, { error })
    .meta({ type: "integer" });
}

function only<Value extends number | string | boolean>(value: Value) {
  return z.literal(value, { error: `Only ${JSON.stringify(value)} is supported.` }).nullish()
    .describe("not supported");
}

const none = z.array(z.unknown(), { error: "Not a valid list." })
  .max(0, { error: "Only an empty list is supported." }).nullish().describe("not supported");

const { min, max } = LIMITS.repetitionPenalty;

/** KoboldCpp's bound. */
const MAX_STOPS = 256;

export const koboldGenerate = z.object({
  prompt: text,
  memory: text.nullish().describe("put before the prompt, and never cut off"),
  max_length: whole(1, 2 ** 31 - 1).nullish()
    .describe("tokens to generate; no more than the context leaves (default: 180)"),
  max_context_length: whole(1, 2 ** 31 - 1).nullish()
    .describe(
      "tokens of prompt and answer; the prompt's beginning is cut off (default: the model's)",
    ),
  n: whole(1, 5).nullish().describe("how many answers (default: 1)"),
  temperature: number(0, LIMITS.temperature).nullish().describe("0 is greedy (default: 0.7)"),
  top_k: whole(0, 2 ** 31 - 1).nullish().describe("0 keeps all (default: 100)"),
  top_p: number(0, 1).nullish().describe("1 keeps all (default: 0.92)"),
  min_p: number(0, 1).nullish().describe("0 keeps all (default)"),
  typical: number(0, 1).nullish().describe("1 keeps all (default)"),
  rep_pen: number(min, max).nullish().describe("over the whole context (default: 1)"),
  presence_penalty: number(-2, 2).nullish().describe("(default: 0)"),
  logit_bias: z.record(z.string(), number(-100, 100), { error: "Not a valid mapping type." })
    .nullish().describe("added to the logits of tokens, by token id"),
  sampler_seed: whole(-1, 2 ** 64).nullish().describe("0 and -1 draw one (default)"),
  stop_sequence: z.array(text, { error: "Not a valid list." })
    .max(MAX_STOPS, { error: `Longer than maximum length ${MAX_STOPS}.` }).nullish(),
  trim_stop: flag.nullish().describe("whether the answer loses its stop sequence (default: true)"),
  bypass_eos: flag.nullish().describe("go on after the model's end of text (default: false)"),
  use_default_badwordsids: flag.nullish()
    .describe("make the model's end of text all but impossible (default: false)"),
  genkey: text.nullish().describe("by which the answer can be checked and aborted"),
  quiet: flag.nullish().describe("nothing of a prompt is ever logged"),
  top_a: only(0),
  tfs: only(1),
  mirostat: only(0),
  dynatemp_range: only(0),
  smoothing_factor: only(0),
  nsigma: only(0),
  dry_multiplier: only(0),
  xtc_probability: only(0),
  adaptive_target: only(-1),
  guidance_scale: only(1),
  grammar: only(""),
  negative_prompt: only(""),
  logprobs: only(false),
  banned_tokens: none,
  images: none,
});

export const koboldKey = z.object({ genkey: text.nullish() });

export const koboldTokenCount = z.object({ prompt: text });

export const koboldDetokenize = z.object({
  ids: z.array(whole(0, 2 ** 31 - 1), { error: "Not a valid list." }),
});

export type KoboldRequest = z.output<typeof koboldGenerate>;

/** @throws {ApiError} 422 naming the first field that is wrong, `_schema` for the whole body */
export function parseKobold<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
): z.output<Schema> {
  const { data, error } = schema.safeParse(json);
  if (!error) return data;
  const { path, message } = error.issues[0]!;
  if (path.length === 0) throw koboldRefusal("_schema", "Invalid input type.");
  const field = String(path[0]);
  const missing = path.length === 1 && !Object.hasOwn(json as object, field);
  throw koboldRefusal(field, missing ? "Missing data for required field." : message);
}

export function koboldRefusal(field: string, message: string): ApiError {
  return new ApiError(422, "validation", message, {}, field);
}
