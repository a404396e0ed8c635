/**
 * What a request to `/v1/chat/completions` means, and which options it may combine.
 *
 * Knows OpenAI's rules for chat. Knows neither how messages become a dialogue nor any response.
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
import { readDialogue } from "./openai_messages.ts";
import type { ChatRequest } from "./openai_schema.ts";

/** @throws {OpenAiError} 400, the first complaint about the request */
export function chatJob(given: ChatRequest, options: JobOptions): Job {
  const { model, limits } = options;
  checkSupport(given);
  const n = given.n ?? 1;
  checkChoices(1, n, limits.choices);
  const streaming = readStream(given);
  const scored = given.logprobs ?? false;
  const topTokens = readTopTokens(given, scored);
  const sampling = readSampling(given, options);
  const dialogue = readDialogue(given, options);
  const stop = [...readStop(given, options), ...dialogue.stop];
  const prompt = encode(dialogue.prompt, "messages", options);

  const { maxPositions } = model.info;
  const wanted = readMaxTokens(given) ?? Math.max(maxPositions - prompt.length, 1);
  checkLength(prompt.length, wanted, "messages", maxPositions);
  return {
    prompts: [{
      request: {
        prompt,
        maxNewTokens: wanted,
        sampling,
        stop,
        keepStop: false,
        stopTokens: given.ignore_eos ? [] : model.stopTokens,
        topTokens,
        promptLogprobs: false,
      },
      echo: undefined,
      promptOnly: false,
      // The space after a tag; one after the start of an answer is part of it.
      trimStart: dialogue.start === "",
    }],
    n,
    bestOf: n,
    scored,
    ...streaming,
  };
}

/** Refuses by name what changes an answer and cannot be had; options that ask for nothing pass. */
function checkSupport(given: ChatRequest): void {
  const asks = (value: unknown) =>
    Array.isArray(value) ? value.length > 0 : (value ?? null) !== null && value !== "none";
  for (const param of ["tools", "functions", "tool_choice", "function_call", "audio"] as const) {
    // "auto" without a tool chooses nothing.
    if (asks(given[param]) && given[param] !== "auto") throw unsupported(param);
  }
  const { modalities, response_format } = given;
  if (asks(modalities) && JSON.stringify(modalities) !== '["text"]') {
    throw unsupported("modalities");
  }
  if (response_format && response_format.type !== "text") throw unsupported("response_format");
}

function readTopTokens({ top_logprobs }: ChatRequest, scored: boolean): number {
  if (top_logprobs && !scored) {
    throw new OpenAiError(
      "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
      "top_logprobs",
      "invalid_parameter_combination",
    );
  }
  return top_logprobs ?? 0;
}

function readMaxTokens({ max_tokens, max_completion_tokens }: ChatRequest): number | null {
  const both = [max_completion_tokens ?? null, max_tokens ?? null];
  if (!both.includes(null)) {
    throw new OpenAiError(
      "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
      "max_tokens",
      "invalid_parameter_combination",
    );
  }
  const param = both[0] === null ? "max_tokens" : "max_completion_tokens";
  const wanted = both[0] ?? both[1]!;
  if (wanted === 0) {
    throw new OpenAiError(
      `Invalid '${param}': integer below minimum value. Expected a value >= 1, but got 0 instead.`,
      param,
      "integer_below_min_value",
    );
  }
  return wanted;
}
