/**
 * The JSON that OpenAI's routes answer with.
 *
 * Knows field names and how completions and chat differ. Knows nothing of how an answer is made.
 * Log-probabilities are the model's own, before biases, penalties and temperature.
 */
import type { EngineInfo } from "../model/engine.ts";
import type { Tokenizer } from "../model/tokenizer.ts";
import type { AnswerPart, ScoredToken } from "./openai_answer.ts";
import { VERSION } from "./version.ts";

/** A choice, or what a chunk adds to it. */
export interface ChoicePart extends AnswerPart {
  index: number;
  /** How tokens are named, where they are asked for. */
  tokenizer: Tokenizer | undefined;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** What the two routes do differently. */
export interface Shapes {
  idPrefix: string;
  object: string;
  chunkObject: string;
  choice(part: ChoicePart): object;
  /** @param first whether it is the first chunk of its choice */
  chunk(part: ChoicePart, first: boolean): object;
}

export const COMPLETION: Shapes = {
  idPrefix: "cmpl-",
  object: "text_completion",
  chunkObject: "text_completion",
  choice: completionChoice,
  chunk: completionChoice,
};

export const CHAT: Shapes = {
  idPrefix: "chatcmpl-",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  choice: (part) => ({
    index: part.index,
    message: { role: "assistant", content: part.text, refusal: null },
    logprobs: chatLogprobs(part),
    finish_reason: part.finish ?? null,
  }),
  chunk: (part, first) => ({
    index: part.index,
    delta: {
      ...(first && { role: "assistant", content: "", refusal: null }),
      ...(part.text !== "" && { content: part.text }),
    },
    logprobs: chatLogprobs(part),
    finish_reason: part.finish ?? null,
  }),
};

/** What all objects of an answer begin with. */
export function envelope({ idPrefix }: Shapes, info: EngineInfo) {
  return {
    id: idPrefix + crypto.randomUUID().replaceAll("-", ""),
    created: Math.floor(Date.now() / 1000),
    model: info.model,
    system_fingerprint: `clairon-${VERSION}`,
  };
}

export function modelShape(info: EngineInfo, created: number) {
  return {
    id: info.model,
    object: "model",
    created,
    owned_by: "clairon",
    // What vLLM's clients look for.
    max_model_len: info.maxPositions,
  };
}

function completionChoice({ index, text, finish, ...part }: ChoicePart) {
  return {
    text,
    index,
    logprobs: completionLogprobs(part),
    finish_reason: finish ?? null,
  };
}

type Scored = Pick<ChoicePart, "tokens" | "tokenizer">;

function completionLogprobs({ tokens, tokenizer }: Scored) {
  if (!tokenizer) return null;
  const name = (id: number) => tokenName(tokenizer, id, "bytes:");
  return {
    tokens: tokens.map(({ id }) => name(id)),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    // The token itself belongs to it, however unlikely it is.
    top_logprobs: tokens.map(({ id, logprob, top }) =>
      logprob === null ? null : Object.fromEntries([
        ...top.map((token) => [name(token.id), token.logprob]),
        [name(id), logprob],
      ])
    ),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

function chatLogprobs({ tokens, tokenizer }: Scored) {
  if (!tokenizer) return null;
  const shape = ({ id, logprob }: Pick<ScoredToken, "id" | "logprob">) => ({
    token: tokenName(tokenizer, id, ""),
    logprob,
    bytes: [...tokenizer.bytes(id)],
  });
  return {
    content: tokens.map((token) => ({ ...shape(token), top_logprobs: token.top.map(shape) })),
    refusal: null,
  };
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The token's text or, where that is a part of a character, its bytes as `\xc3`. */
function tokenName(tokenizer: Tokenizer, id: number, prefix: string): string {
  const bytes = tokenizer.bytes(id);
  try {
    return UTF8.decode(bytes);
  } catch {
    const hex = Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
    return prefix + hex.join("");
  }
}
