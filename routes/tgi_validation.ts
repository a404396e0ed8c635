/**
 * TGI's rules for a generation request: which it refuses, in which order and words, and what the
 * accepted ones mean to the engine.
 *
 * Knows text, token counts and limits. Knows no HTTP beyond the refusal, and no response.
 */
import { GREEDY, type Sampling } from "../model/engine.ts";
import type { TextRequest } from "../model/text_generation.ts";
import { validationError } from "./errors.ts";
import { COLDEST, randomSeed, readSeed } from "./sampling_values.ts";
import type { Limits, ReadyModel } from "./service.ts";
import type { GenerateParameters, TgiRequest } from "./tgi_schema.ts";

/** An accepted request. */
export interface TgiJob {
  inputs: string;
  request: TextRequest;
  bestOf: number;
  /** Whether the answer repeats the prompt. */
  fullText: boolean;
  details: boolean;
  /** The seed as the answer reports it: null where nothing is drawn. */
  seed: number | null;
}

export interface JobOptions {
  model: ReadyModel;
  limits: Limits;
  stream: boolean;
  /** What `return_full_text` is where the request leaves it open. */
  fullText: boolean;
}

/** @throws {ApiError} 422, TGI's first complaint about the request */
export function validate({ inputs, parameters }: TgiRequest, options: JobOptions): TgiJob {
  // TGI samples where there are no parameters at all, yet not where they leave `do_sample` open.
  const given: GenerateParameters = parameters ?? { do_sample: true };
  if (options.stream) checkStream(given);
  checkParameters(given, options.limits);
  const { prompt, maxNewTokens } = checkInputs(inputs, given, options);
  checkSupport(given);

  const sampling = readSampling(given, options.model.info.vocabSize);
  return {
    inputs,
    request: {
      prompt,
      maxNewTokens,
      sampling,
      stop: given.stop ?? [],
      keepStop: true,
      stopTokens: options.model.stopTokens,
      topTokens: given.top_n_tokens ?? 0,
      promptLogprobs: given.decoder_input_details ?? false,
    },
    bestOf: given.best_of ?? 1,
    fullText: given.return_full_text ?? options.fullText,
    details: Boolean(given.details || given.decoder_input_details),
    seed: sampling.temperature === 0 ? null : sampling.seed,
  };
}

function refuse(wrong: boolean, message: string): void {
  if (wrong) throw validationError(message);
}

function checkStream({ best_of, decoder_input_details }: GenerateParameters): void {
  refuse((best_of ?? 1) !== 1, "`best_of` != 1 is not supported when streaming tokens");
  refuse(
    decoder_input_details === true,
    "`decoder_input_details` == true is not supported when streaming tokens",
  );
}

/** What can be told from the parameters alone, in TGI's order; each number is a float32 there. */
function checkParameters(given: GenerateParameters, limits: Limits): void {
  const bestOf = given.best_of ?? 1;
  const temperature = Math.fround(given.temperature ?? 1);
  const repetitionPenalty = Math.fround(given.repetition_penalty ?? 1);
  const frequencyPenalty = Math.fround(given.frequency_penalty ?? 0);
  const topP = Math.fround(given.top_p ?? 0.5);
  const typicalP = Math.fround(given.typical_p ?? 0.5);
  const topN = given.top_n_tokens ?? 0;
  const stops = given.stop?.length ?? 0;
  const warps = [given.temperature, given.top_k, given.top_p, given.typical_p];
  const sampling = given.do_sample || warps.some((value) => (value ?? null) !== null);

  refuse(
    limits.bestOf === 1 && bestOf !== 1,
    "`best_of` != 1 is not allowed for this endpoint",
  );
  refuse(
    bestOf < 1 || bestOf > limits.bestOf,
    `\`best_of\` must be > 0 and <= ${limits.bestOf}. Given: ${bestOf}`,
  );
  refuse(bestOf > 1 && !sampling, "you must use sampling when `best_of` is > 1");
  refuse(temperature <= 0, "`temperature` must be strictly positive");
  refuse(temperature > limits.temperature, `\`temperature\` must be <= ${limits.temperature}`);
  refuse(repetitionPenalty <= 0, "`repetition_penalty` must be strictly positive");
  const { min, max } = limits.repetitionPenalty;
  refuse(
    repetitionPenalty < Math.fround(min) || repetitionPenalty > max,
    `\`repetition_penalty\` must be >= ${min} and <= ${max}`,
  );
  refuse(Math.abs(frequencyPenalty) > 2, "`frequency_penalty` must be >= -2.0 and <= 2.0");
  refuse(topP <= 0 || topP >= 1, "`top_p` must be > 0.0 and < 1.0");
  refuse(typicalP <= 0 || typicalP >= 1, "`typical_p` must be > 0.0 and < 1.0");
  refuse((given.top_k ?? 1) <= 0, "`top_k` must be strictly positive");
  refuse(given.max_new_tokens === 0, "`max_new_tokens` must be strictly positive");
  refuse(
    stops > limits.stopSequences,
    `\`stop\` supports up to ${limits.stopSequences} stop sequences. Given: ${stops}`,
  );
  refuse(bestOf > 1 && (given.seed ?? null) !== null, "`seed` must not be set when `best_of` > 1");
  refuse(
    topN > limits.topNTokens,
    `\`top_n_tokens\` must be >= 0 and <= ${limits.topNTokens}. Given: ${topN}`,
  );
}

/** The prompt's ids, the last `truncate` of them, and how many more there may be. */
function checkInputs(inputs: string, given: GenerateParameters, { model, limits }: JobOptions) {
  const maxTotal = model.info.maxPositions;
  const maxInput = maxTotal - 1;
  const { truncate } = given;
  refuse(inputs === "", "`inputs` cannot be empty");
  refuse(
    truncate === 0 || (truncate ?? 0) > maxInput,
    `\`truncate\` must be strictly positive and less than ${maxInput}. Given: ${truncate}`,
  );
  refuse(
    inputs.length > limits.inputCharacters,
    `\`inputs\` must have at most ${limits.inputCharacters} characters. Given: ${inputs.length}`,
  );
  const prompt = model.tokenizer.encode(inputs).slice(-(truncate ?? Infinity));
  const count = prompt.length;
  // Some control characters have no token.
  refuse(count === 0, "`inputs` cannot be empty");
  const maxNewTokens = given.max_new_tokens ?? Math.max(0, maxTotal - count);
  refuse(
    count + maxNewTokens > maxTotal,
    `\`inputs\` tokens + \`max_new_tokens\` must be <= ${maxTotal}. ` +
      `Given: ${count} \`inputs\` tokens and ${maxNewTokens} \`max_new_tokens\``,
  );
  refuse(
    count > maxInput,
    `\`inputs\` must have less than ${maxInput} tokens. Given: ${count}`,
  );
  return { prompt, maxNewTokens };
}

/** What TGI can do and this server cannot. */
function checkSupport({ grammar, watermark, adapter_id }: GenerateParameters): void {
  refuse((grammar ?? null) !== null, "grammar is not supported");
  refuse(watermark === true, "`watermark` is not supported");
  refuse((adapter_id ?? null) !== null, "`adapter_id` is not supported");
}

function readSampling(given: GenerateParameters, vocabSize: number): Sampling {
  const temperature = given.temperature ?? 1;
  const topK = given.top_k ?? 0;
  const topP = given.top_p ?? 1;
  const typicalP = given.typical_p ?? 1;
  const drawn = given.do_sample || temperature !== 1 || topK > 0 || topP < 1 || typicalP < 1;
  return {
    ...GREEDY,
    temperature: drawn ? Math.max(temperature, COLDEST) : 0,
    topK: Math.min(topK, vocabSize),
    topP,
    typicalP,
    repetitionPenalty: given.repetition_penalty ?? 1,
    frequencyPenalty: given.frequency_penalty ?? 0,
    frequencyScope: "context",
    seed: given.seed == null ? randomSeed() : readSeed(given.seed),
  };
}
