/**
 * What an edge and its sidecars say to each other: paths, the request, and the lines of an answer.
 *
 * Both sides import this file, and its version is in the paths. Knows how events become short JSON
 * and back. Knows no connection and no server.
 *
 * An answer is server-sent events without names, each a list of lines: what was there at the same
 * time. The first line only says that the request came in, so that its client can be seen to leave
 * while it waits; an error is a line too, the last one.
 */
import { z } from "zod";
import {
  EngineError,
  type EngineErrorCode,
  type EngineInfo,
  type EngineStats,
  type FinishReason,
  type GenerateRequest,
  MAX_TOP_TOKENS,
  type TokenEvent,
  type TokenLogprob,
} from "../engine.ts";

export const GENERATE_PATH = "/internal/v1/generate";
export const INFO_PATH = "/internal/v1/info";

/** Milliseconds of silence after which a sidecar says that it is still there. */
export const KEEP_ALIVE = 5000;

/** What `INFO_PATH` answers. */
export interface SidecarInfo {
  /** Of tokenizer and configuration (`text_side.ts`); null while the model is loading. */
  fingerprint: string | null;
  info: EngineInfo | null;
  stats: EngineStats;
}

const finite = z.number();
const tokenId = z.int().min(0).max(2 ** 32 - 1);
const tokenIds = z.array(tokenId);

const sampling = z.strictObject({
  temperature: finite.min(0),
  topK: z.int().min(0),
  topP: finite.min(0).max(1),
  minP: finite.min(0).max(1),
  typicalP: finite.min(0).max(1),
  repetitionPenalty: finite.positive(),
  frequencyPenalty: finite,
  frequencyScope: z.enum(["output", "context"]),
  presencePenalty: finite,
  logitBias: z.array(z.tuple([tokenId, finite])),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

/** The engine's request as a body; a field that is not known is refused, not dropped. */
export const generateRequest = z.strictObject(
  {
    prompt: tokenIds.min(1),
    maxNewTokens: z.int().min(1),
    sampling,
    stopTokens: tokenIds,
    topTokens: z.int().min(0).max(MAX_TOP_TOKENS),
    promptLogprobs: z.boolean(),
    cacheScope: z.string().exactOptional(),
    affinity: z.string().exactOptional(),
  } satisfies Record<keyof GenerateRequest, z.ZodType>,
) satisfies z.ZodType<GenerateRequest>;

/** JSON has no infinity; a log-probability knows one. */
type WireNumber = number | "-inf";
type WireTokens = [id: number, logprob: WireNumber][];

type WireEvent =
  | { prompt: (WireNumber | null)[]; top: WireTokens[] }
  | {
    token: [id: number, logprob: WireNumber, processedLogprob: WireNumber];
    /** Of the model's own logits and of the processed ones; left out when nobody asked. */
    top?: [WireTokens, WireTokens];
    cached?: number;
    /** Seconds, of the sidecar's own queue. */
    queued?: number;
    finish?: FinishReason;
  };

export type Line =
  | { accepted: true }
  | { error: { code: EngineErrorCode; message: string; retryAfter?: number } }
  | WireEvent;

export const ACCEPTED: Line = { accepted: true };

const pack = (value: number): WireNumber => value === -Infinity ? "-inf" : value;
const unpack = (value: WireNumber): number => value === "-inf" ? -Infinity : value;

function packTokens(tokens: TokenLogprob[]): WireTokens {
  return tokens.map(({ id, logprob }) => [id, pack(logprob)]);
}

function unpackTokens(tokens: WireTokens): TokenLogprob[] {
  return tokens.map(([id, logprob]) => ({ id, logprob: unpack(logprob) }));
}

export function eventLine(event: TokenEvent): Line {
  if (event.type === "prompt") {
    return {
      prompt: event.logprobs.map((logprob) => logprob === null ? null : pack(logprob)),
      top: event.top.map(packTokens),
    };
  }
  const { id, logprob, processedLogprob, top, processedTop, finish } = event;
  const { cachedTokens, queuedSeconds } = event;
  return {
    token: [id, pack(logprob), pack(processedLogprob)],
    ...(top.length + processedTop.length > 0 && {
      top: [packTokens(top), packTokens(processedTop)],
    }),
    ...(cachedTokens !== undefined && { cached: cachedTokens }),
    ...(queuedSeconds !== undefined && { queued: queuedSeconds }),
    ...(finish && { finish }),
  };
}

/** What is no EngineError was not written for anybody to read, and is not passed on. */
export function errorLine(error: unknown): Line {
  const { code, message, retryAfter } = error instanceof EngineError
    ? error
    : new EngineError("failed", "The sidecar made a mistake.");
  return { error: { code, message, ...(retryAfter !== undefined && { retryAfter }) } };
}

/** The event of a line; undefined for the one that only says that the request came in. */
export function lineEvent(line: Line): TokenEvent | undefined {
  if ("error" in line) {
    const { code, message, retryAfter } = line.error;
    throw new EngineError(code, message, retryAfter);
  }
  if ("prompt" in line) {
    return {
      type: "prompt",
      logprobs: line.prompt.map((logprob) => logprob === null ? null : unpack(logprob)),
      top: line.top.map(unpackTokens),
    };
  }
  if (!("token" in line)) return undefined;
  const { token: [id, logprob, processedLogprob], top, cached, queued, finish } = line;
  return {
    type: "token",
    id,
    logprob: unpack(logprob),
    processedLogprob: unpack(processedLogprob),
    top: top ? unpackTokens(top[0]) : [],
    processedTop: top ? unpackTokens(top[1]) : [],
    ...(cached !== undefined && { cachedTokens: cached }),
    ...(queued !== undefined && { queuedSeconds: queued }),
    ...(finish && { finish }),
  };
}
