/**
 * What an accepted KoboldAI request means to the engine: defaults, and a prompt that fits.
 *
 * Knows KoboldCpp's defaults and how it cuts a prompt. Knows no HTTP beyond the refusal.
 */
import { GREEDY, type LogitBias, type Sampling } from "../model/engine.ts";
import type { TextRequest } from "../model/text_generation.ts";
import { koboldRefusal, type KoboldRequest } from "./kobold_schema.ts";
import type { Limits, ReadyModel } from "./service.ts";
import { COLDEST, randomSeed, readSeed } from "./sampling_values.ts";

export const DEFAULT_MAX_LENGTH = 180;

/** Less of the probability than this keeps the same one token. */
const LEAST = 1e-6;

/** @throws {ApiError} 422 if there is nothing to continue, or too much to read */
export function koboldJob(body: KoboldRequest, model: ReadyModel, limits: Limits): TextRequest {
  const { info, tokenizer, stopTokens } = model;
  const memory = encode("memory", body.memory ?? "");
  const text = encode("prompt", body.prompt);
  if (memory.length + text.length === 0) throw koboldRefusal("prompt", "Shorter than one token.");

  const context = Math.min(body.max_context_length ?? Infinity, info.maxPositions);
  if (context < 2) throw koboldRefusal("max_context_length", "Must be at least 2.");
  const maxNewTokens = Math.min(body.max_length ?? DEFAULT_MAX_LENGTH, context - 1);
  return {
    prompt: fit(memory, text, context - maxNewTokens),
    maxNewTokens,
    sampling: { ...readSampling(body, info.vocabSize), logitBias: readBias(body, model, limits) },
    stop: body.stop_sequence ?? [],
    keepStop: body.trim_stop === false,
    stopTokens: body.bypass_eos ? [] : stopTokens,
    topTokens: 0,
    promptLogprobs: false,
  };

  function encode(field: string, text: string): number[] {
    if (text.length > limits.inputCharacters) {
      throw koboldRefusal(field, `Longer than maximum length ${limits.inputCharacters}.`);
    }
    return tokenizer.encode(text);
  }
}

/** At most `room` ids: all of the memory that fits beside one token of the text, then its end. */
function fit(memory: readonly number[], text: readonly number[], room: number): number[] {
  const kept = memory.slice(0, text.length > 0 ? room - 1 : room);
  const left = room - kept.length;
  return [...kept, ...(left > 0 ? text.slice(-left) : [])];
}

function readSampling(body: KoboldRequest, vocabSize: number): Sampling {
  const temperature = body.temperature ?? 0.7;
  const seed = body.sampler_seed ?? 0;
  return {
    ...GREEDY,
    temperature: temperature === 0 ? 0 : Math.max(temperature, COLDEST),
    topK: Math.min(body.top_k ?? 100, vocabSize),
    topP: Math.max(body.top_p ?? 0.92, LEAST),
    minP: body.min_p ?? 0,
    typicalP: Math.max(body.typical ?? 1, LEAST),
    repetitionPenalty: body.rep_pen ?? 1,
    presencePenalty: body.presence_penalty ?? 0,
    seed: seed > 0 ? readSeed(seed) : randomSeed(),
  };
}

/** What keeps a token out, short of an infinity. */
const NEVER = -100;

function readBias(body: KoboldRequest, model: ReadyModel, limits: Limits): LogitBias[] {
  const { info: { vocabSize }, stopTokens } = model;
  const entries = Object.entries(body.logit_bias ?? {});
  if (entries.length > limits.logitBias) {
    throw koboldRefusal("logit_bias", `Longer than maximum length ${limits.logitBias}.`);
  }
  const biases = new Map(entries.map(([key, bias]) => {
    const id = /^\d{1,9}$/.test(key) ? Number(key) : NaN;
    if (id < vocabSize) return [id, bias];
    throw koboldRefusal("logit_bias", `Keys must be token ids below ${vocabSize}.`);
  }));
  if (body.use_default_badwordsids) { for (const id of stopTokens) biases.set(id, NEVER); }
  return [...biases];
}
