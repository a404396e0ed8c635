/**
 * What a request to `/v1/completions` means: its prompts, and which options it may combine.
 *
 * Knows OpenAI's rules for completions. Knows no response.
 */
import {
  checkChoices,
  checkLength,
  encode,
  type Job,
  type JobOptions,
  readSampling,
  readStop,
  readStream,
} from "./openai_job.ts";
import { OpenAiError, unsupported } from "./openai_errors.ts";
import type { CompletionRequest } from "./openai_schema.ts";

/** OpenAI's, where a request leaves it open. */
const MAX_TOKENS = 16;

interface Prompt {
  text: string;
  ids: number[];
}

/** @throws {OpenAiError} 400, the first complaint about the request */
export function completionJob(given: CompletionRequest, options: JobOptions): Job {
  const { model, limits } = options;
  // Editors send an empty one.
  if ((given.suffix ?? "") !== "") throw unsupported("suffix");
  const n = given.n ?? 1;
  const bestOf = given.best_of ?? n;
  const streaming = readStream(given);
  checkBestOf(n, bestOf, streaming.stream);
  const echo = given.echo ?? false;
  checkMaxTokens(given.max_tokens, echo);
  const sampling = readSampling(given, options);
  const stop = readStop(given, options);
  const prompts = readPrompts(given.prompt, options);
  checkChoices(prompts.length, bestOf, limits.choices);

  const scored = (given.logprobs ?? null) !== null;
  return {
    prompts: prompts.map(({ text, ids }) => {
      const room = model.info.maxPositions - ids.length;
      const wanted = given.max_tokens ?? Math.min(MAX_TOKENS, Math.max(room, 1));
      // The engine looks at a prompt only to go on from it.
      const maxNewTokens = Math.max(wanted, 1);
      checkLength(ids.length, maxNewTokens, "prompt", model.info.maxPositions);
      return {
        request: {
          prompt: ids,
          maxNewTokens,
          sampling,
          stop,
          keepStop: false,
          stopTokens: given.ignore_eos ? [] : model.stopTokens,
          topTokens: given.logprobs ?? 0,
          promptLogprobs: echo && scored,
        },
        echo: echo ? text : undefined,
        promptOnly: wanted === 0,
        trimStart: false,
      };
    }),
    n,
    bestOf,
    scored,
    ...streaming,
  };
}

function checkBestOf(n: number, bestOf: number, stream: boolean): void {
  if (bestOf < n) {
    throw new OpenAiError(
      "You requested that the server return more choices than it will generate (HINT: 'best_of' " +
        "must be greater than or equal to 'n').",
      "best_of",
      "invalid_value",
    );
  }
  if (stream && bestOf > n) {
    throw new OpenAiError(
      "'best_of' above 'n' cannot be used with 'stream'.",
      "best_of",
      "invalid_parameter_combination",
    );
  }
}

function checkMaxTokens(maxTokens: number | null | undefined, echo: boolean): void {
  if (maxTokens !== 0 || echo) return;
  throw new OpenAiError(
    "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, or 'echo', but got " +
      "0 instead.",
    "max_tokens",
    "integer_below_min_value",
  );
}

function readPrompts(given: CompletionRequest["prompt"], options: JobOptions): Prompt[] {
  const list = typeof given === "string"
    ? [given]
    : typeof given[0] === "number"
    ? [given as number[]]
    : given as (string | number[])[];
  return list.map((prompt) =>
    typeof prompt === "string"
      ? { text: prompt, ids: encode(prompt, "prompt", options) }
      : { text: options.model.tokenizer.decode(prompt), ids: checkIds(prompt, options) }
  );
}

function checkIds(ids: number[], { model }: JobOptions): number[] {
  const { vocabSize } = model.info;
  const wrong = ids.find((id) => id < 0 || id >= vocabSize);
  if (wrong === undefined) return ids;
  throw new OpenAiError(
    `Invalid 'prompt': expected token ids from 0 to ${vocabSize - 1}, but got ${wrong} instead.`,
    "prompt",
    "invalid_value",
  );
}
