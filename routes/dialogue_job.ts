/**
 * What a request to Claire's own routes means: a prompt, and what the engine and the turn parser
 * are told.
 *
 * Knows the defaults' place, the rules between fields and the model's limits. Knows no HTTP beyond
 * the refusal, and no response.
 */
import { GREEDY, type Sampling } from "../model/engine.ts";
import {
  buildPrompt,
  type BuiltPrompt,
  harmlessName,
  normaliseText,
  PromptError,
  type TurnParserOptions,
} from "../model/prompt.ts";
import type { TextRequest } from "../model/text_generation.ts";
import { CLAIRE, type DialogueRequest, type PromptRequest } from "./dialogue_schema.ts";
import { validationError } from "./errors.ts";
import { COLDEST, randomSeed } from "./sampling_values.ts";
import type { Limits, ReadyModel } from "./service.ts";

/** A prompt with somebody to go on. */
export interface OpenPrompt extends BuiltPrompt {
  next: string;
}

/** An accepted request. */
export interface DialogueJob {
  built: OpenPrompt;
  request: TextRequest;
  parsing: TurnParserOptions;
  tidy: boolean;
  stream: boolean;
  /** null where nothing is drawn. */
  seed: number | null;
}

export interface JobOptions {
  model: ReadyModel;
  limits: Limits;
}

/** @throws {ApiError} 422, the first complaint about the request */
export function dialogueJob(given: DialogueRequest, options: JobOptions): DialogueJob {
  const { model } = options;
  const built = openPrompt(given, options);
  const until = harmlessName(given.until ?? "") || undefined;
  if (until !== undefined && built.format !== "named" && !built.speakers.includes(until)) {
    throw validationError(
      `\`until\` should be one of the speakers (${quoted(built.speakers)}), found ${
        quoted([until])
      }`,
    );
  }
  const prompt = model.tokenizer.encode(built.prompt);
  const sampling = readSampling(given, model.info.vocabSize);
  return {
    built,
    request: {
      prompt,
      maxNewTokens: readMaxTokens(given, prompt.length, model.info.maxPositions),
      sampling,
      // The turn parser finds the end of a turn, by the same rules as the beginning of the next.
      stop: [],
      keepStop: false,
      stopTokens: model.stopTokens,
      topTokens: 0,
      promptLogprobs: false,
    },
    parsing: { maxTurns: given.max_turns ?? undefined, until },
    tidy: given.tidy ?? true,
    stream: given.stream ?? false,
    seed: sampling.temperature === 0 ? null : sampling.seed,
  };
}

/**
 * @throws {ApiError} 422 if the format cannot hold the dialogue, it is open who answers, or it is
 * so long that tokenising would block the server
 */
export function openPrompt(given: PromptRequest, { limits }: JobOptions): OpenPrompt {
  const { normalise, asr, turns, format, next, start } = given;
  const most = limits.inputCharacters;
  const length = turns.reduce((sum, { text }) => sum + text.length, start?.length ?? 0);
  if (length > most) {
    throw validationError(`the turns should have at most ${most} characters, found ${length}`);
  }
  const write = (text: string) =>
    normalise === false && !asr ? text : normaliseText(text, { asr: asr ?? false });
  try {
    const built = buildPrompt({
      turns: turns.map(({ speaker, text }) => ({
        speaker: speaker ?? undefined,
        text: write(text),
      })),
      format: format ?? undefined,
      next: next ?? undefined,
      start: write(start ?? ""),
    });
    return { ...built, next: built.next! };
  } catch (error) {
    if (error instanceof PromptError) throw validationError(error.message);
    throw error;
  }
}

function readMaxTokens({ max_tokens }: DialogueRequest, prompt: number, most: number): number {
  const room = most - prompt;
  const wanted = max_tokens ?? Math.min(CLAIRE.max_tokens, Math.max(room, 1));
  if (prompt > 0 && wanted <= room) return wanted;
  throw validationError(
    `the prompt's tokens + \`max_tokens\` must be <= ${most}. ` +
      `Given: ${prompt} tokens and ${wanted} \`max_tokens\``,
  );
}

function readSampling(given: DialogueRequest, vocabSize: number): Sampling {
  const temperature = given.temperature ?? CLAIRE.temperature;
  return {
    ...GREEDY,
    temperature: temperature === 0 ? 0 : Math.max(temperature, COLDEST),
    topK: Math.min(given.top_k ?? CLAIRE.top_k, vocabSize),
    topP: given.top_p ?? CLAIRE.top_p,
    minP: given.min_p ?? CLAIRE.min_p,
    typicalP: given.typical_p ?? CLAIRE.typical_p,
    repetitionPenalty: given.repetition_penalty ?? CLAIRE.repetition_penalty,
    seed: given.seed ?? randomSeed(),
  };
}

function quoted(names: readonly string[]): string {
  return names.slice(0, 10).map((name) => JSON.stringify(name)).join(", ");
}
