/**
 * The JSON that TGI's generation routes answer with (Text Generation Inference v3.3.7).
 *
 * Knows field names, their order and when one is left out. Knows nothing of how an answer is made.
 * Log-probabilities are those after penalties, temperature and truncation, as TGI's are; JSON has
 * no infinity, so a token that was ruled out has null.
 */
import type { EndTextEvent, PromptTextEvent, TokenTextEvent } from "../model/text_generation.ts";

export interface Token {
  id: number;
  text: string;
  logprob: number;
  special: boolean;
}

/** One complete answer. */
export interface Answer {
  end: EndTextEvent;
  /** Empty unless asked for. */
  prefill: PromptTextEvent["tokens"];
  tokens: TokenTextEvent[];
  /** null where nothing was drawn. */
  seed: number | null;
}

function tokenShape({ id, text, processedLogprob, special }: TokenTextEvent): Token {
  return { id, text, logprob: processedLogprob, special };
}

function topShape({ processedTop }: TokenTextEvent): Token[] {
  return processedTop.map(({ id, text, logprob, special }) => ({ id, text, logprob, special }));
}

/** The fields that a whole answer and each of `best_of_sequences` share. */
function sequenceShape({ end, prefill, tokens, seed }: Answer) {
  return {
    finish_reason: end.reason,
    generated_tokens: end.generatedTokens,
    seed,
    prefill: prefill.map(({ id, text, logprob }) => ({ id, text, logprob })),
    tokens: tokens.map(tokenShape),
  };
}

function topTokens({ tokens }: Answer) {
  const asked = tokens.some(({ processedTop }) => processedTop.length > 0);
  return asked && { top_tokens: tokens.map(topShape) };
}

/**
 * @param prefix what `return_full_text` puts before the answer
 * @param others the answers that `best_of` did not choose; none unless it was above 1
 */
export function detailsShape(best: Answer, others: readonly Answer[], prefix: string) {
  return {
    ...sequenceShape(best),
    ...(others.length > 0 && {
      best_of_sequences: others.map((other) => ({
        generated_text: prefix + other.end.text,
        ...sequenceShape(other),
        ...topTokens(other),
      })),
    }),
    ...topTokens(best),
  };
}

/** An event of the stream; `end` comes with the last one. */
export function streamShape(
  token: TokenTextEvent,
  end?: { text: string; details: ReturnType<typeof streamDetailsShape> | null },
) {
  return {
    index: token.index,
    token: tokenShape(token),
    ...(token.processedTop.length > 0 && { top_tokens: topShape(token) }),
    generated_text: end?.text ?? null,
    details: end?.details ?? null,
  };
}

export function streamDetailsShape(end: EndTextEvent, seed: number | null) {
  return {
    finish_reason: end.reason,
    generated_tokens: end.generatedTokens,
    seed,
    input_length: end.promptTokens,
  };
}
