/**
 * What requests to OpenAI's routes have in common, and what it means to the engine.
 *
 * Knows sampling, lengths and the limits. Knows neither completions' prompts nor chat's messages.
 */
import { GREEDY, type LogitBias, type Sampling } from "../model/engine.ts";
import type { TextRequest } from "../model/text_generation.ts";
import type { ChoiceRequest } from "./openai_answer.ts";
import { OpenAiError } from "./openai_errors.ts";
import type { CommonRequest } from "./openai_schema.ts";
import { COLDEST, randomSeed, SEEDS } from "./sampling_values.ts";
import type { Limits, ReadyModel } from "./service.ts";

/** An accepted request. */
export interface Job {
  /** One a prompt; each is answered `n` times. */
  prompts: ChoiceRequest[];
  n: number;
  /** Answers to choose the `n` from. */
  bestOf: number;
  /** Whether the answer shows log-probabilities. */
  scored: boolean;
  stream: boolean;
  includeUsage: boolean;
}

export interface JobOptions {
  model: ReadyModel;
  limits: Limits;
}

/** @throws {OpenAiError} 400 for options that need each other */
export function readStream({ stream, stream_options }: CommonRequest) {
  if (stream_options && !stream) {
    throw new OpenAiError(
      "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
      "stream_options",
      "invalid_parameter_combination",
    );
  }
  return { stream: stream ?? false, includeUsage: stream_options?.include_usage ?? false };
}

/** @throws {OpenAiError} 400 for a bias that is of no token */
export function readSampling(given: CommonRequest, { model, limits }: JobOptions): Sampling {
  const { vocabSize } = model.info;
  const temperature = given.temperature ?? (given.do_sample === false ? 0 : 1);
  return {
    ...GREEDY,
    temperature: temperature === 0 ? 0 : Math.max(temperature, COLDEST),
    topK: Math.min(Math.max(given.top_k ?? 0, 0), vocabSize),
    topP: given.top_p ?? 1,
    minP: given.min_p ?? 0,
    typicalP: given.typical_p ?? 1,
    repetitionPenalty: given.repetition_penalty ?? 1,
    frequencyPenalty: given.frequency_penalty ?? 0,
    frequencyScope: "output",
    presencePenalty: given.presence_penalty ?? 0,
    logitBias: readBias(given.logit_bias ?? {}, vocabSize, limits.logitBias),
    seed: given.seed == null ? randomSeed() : Number(BigInt.asUintN(53, BigInt(given.seed))),
  };
}

function readBias(
  given: Record<string, number>,
  vocabSize: number,
  most: number,
): LogitBias[] {
  const entries = Object.entries(given);
  if (entries.length > most) {
    throw new OpenAiError(
      `Invalid 'logit_bias': too many properties. Expected an object with at most ${most} ` +
        `properties, but got an object with ${entries.length} properties instead.`,
      "logit_bias",
      "object_above_max_properties",
    );
  }
  return entries.map(([key, bias]) => {
    const id = /^\d{1,9}$/.test(key) ? Number(key) : NaN;
    if (id < vocabSize) return [id, bias];
    throw new OpenAiError(
      `Invalid key in 'logit_bias': expected a token id from 0 to ${vocabSize - 1}, but got ` +
        `${JSON.stringify(key.slice(0, 40))} instead.`,
      "logit_bias",
      "invalid_value",
    );
  });
}

/** The stop strings, one or several. @throws {OpenAiError} 400 for too many */
export function readStop({ stop }: CommonRequest, { limits }: JobOptions): string[] {
  const stops = typeof stop === "string" ? [stop] : stop ?? [];
  if (stops.length <= limits.stopSequences) return stops;
  throw new OpenAiError(
    `Invalid 'stop': array too long. Expected an array with maximum length ` +
      `${limits.stopSequences}, but got an array with length ${stops.length} instead.`,
    "stop",
    "array_above_max_length",
  );
}

/** @throws {OpenAiError} 400 for a text so long that to read it would block the server */
export function checkCharacters(length: number, param: string, { limits }: JobOptions): void {
  if (length <= limits.inputCharacters) return;
  throw new OpenAiError(
    `Invalid '${param}': string too long. Expected a string with maximum length ` +
      `${limits.inputCharacters}, but got a string with length ${length} instead.`,
    param,
    "string_above_max_length",
  );
}

/** A text's token ids. @throws {OpenAiError} 400 if there are none, or the text is too long */
export function encode(text: string, param: string, options: JobOptions): number[] {
  checkCharacters(text.length, param, options);
  const ids = options.model.tokenizer.encode(text);
  // Some control characters have no token.
  if (ids.length > 0) return ids;
  throw new OpenAiError(`Invalid '${param}': the prompt holds no token.`, param, "empty_prompt");
}

/** @throws {OpenAiError} 400 if prompt and answer are more than the model can hold */
export function checkLength(prompt: number, answer: number, param: string, most: number): void {
  if (prompt + answer <= most) return;
  throw new OpenAiError(
    `This model's maximum context length is ${most} tokens. However, you requested ` +
      `${prompt + answer} tokens (${prompt} in the ${param}, ${answer} in the completion). ` +
      `Please reduce the length of the ${param} or completion.`,
    param,
    "context_length_exceeded",
  );
}

/** @throws {OpenAiError} 400 if one request asks for too many answers */
export function checkChoices(prompts: number, answers: number, most: number): void {
  if (prompts * answers <= most) return;
  throw new OpenAiError(
    `Too many answers: ${prompts} prompts with ${answers} answers each were requested, and one ` +
      `request may have ${most} in all.`,
    "n",
    "integer_above_max_value",
  );
}

/** Odd, and far from a small fraction of 2^53: the seeds of neighbouring choices have nothing alike. */
const SEED_STEP = 0x1f3d5b79a3c6e1n;

/** The request of one of several choices, whose seed follows from the request's and its place. */
export function nthChoice(request: TextRequest, nth: number): TextRequest {
  const { sampling } = request;
  const seed = Number((BigInt(sampling.seed) + BigInt(nth) * SEED_STEP) % SEEDS);
  return { ...request, sampling: { ...sampling, seed } };
}
