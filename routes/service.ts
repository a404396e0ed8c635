/**
 * What the routes are given to serve: an engine, and the text side of its model.
 *
 * Knows when requests may be let in. Knows no route.
 */
import { type Engine, EngineError, type EngineInfo } from "../model/engine.ts";
import type { TextRequest } from "../model/text_generation.ts";
import type { TextSide } from "../model/text_side.ts";
import { loadingError } from "./errors.ts";
import type { Log } from "./request_log.ts";
import type { Settings } from "./settings.ts";

/** Bounds on what a client may ask for, TGI's defaults where TGI has them. */
export const LIMITS = {
  /** Bytes of a request body. */
  bodyBytes: 2_000_000,
  /** UTF-16 code units of a prompt: tokenising blocks this thread, about 1.5 ms for 1,000. */
  inputCharacters: 200_000,
  bestOf: 2,
  stopSequences: 4,
  topNTokens: 5,
  /** Prompts of one request, as TGI's `/info` tells. */
  clientBatchSize: 4,
  /** Answers of one request on OpenAI's routes, over all its prompts; its limit for `n`. */
  choices: 128,
  /** Tokens that one request may give a bias. */
  logitBias: 1024,
  /** Turns of a dialogue that is given, and of an answer. */
  dialogueTurns: 1000,
  answerTurns: 100,
  /** Requests that are answered or wait; one more is "overloaded". */
  concurrentRequests: 128,
  /** Hotter, or a stronger or weaker penalty, leaves nothing but float overflow. */
  temperature: 100,
  repetitionPenalty: { min: 0.01, max: 100 },
  /** Milliseconds of silence on a stream before a comment is sent. */
  keepAlive: 15_000,
  /** Milliseconds that a stream may lie unread before it is ended. */
  stall: 60_000,
};

export type Limits = typeof LIMITS;

/** The bounds that can be set. */
export function limitsOf(settings: Settings): Pick<Limits, "concurrentRequests" | "stall"> {
  return { concurrentRequests: settings.queue, stall: settings["stall-seconds"] * 1000 };
}

export interface Service {
  engine: Engine;
  /** Resolves no later than `engine.ready`. */
  text: Promise<TextSide>;
  limits: Limits;
  log: Log;
}

export interface ReadyModel extends TextSide {
  info: EngineInfo;
  /** See `GenerateRequest`. */
  cacheScope?: string;
}

/** The request as the engine is asked: with whose prompts it may share what is computed. */
export function scoped(request: TextRequest, { cacheScope }: ReadyModel): TextRequest {
  return cacheScope === undefined ? request : { ...request, cacheScope };
}

/**
 * The model, once it can answer.
 *
 * @throws {ApiError} 503 while it is loading
 * @throws {EngineError} when it is shutting down, or gone
 */
export async function readyModel({ engine, text }: Service): Promise<ReadyModel> {
  const { state, progress } = engine.stats();
  if (state === "loading") throw loadingError(progress);
  if (state === "unavailable") throw new EngineError("unavailable", "No sidecar answers.");
  if (state === "draining") throw new EngineError("draining", "The engine takes no new request.");
  if (state !== "ready") throw new EngineError("lost", "The engine has stopped.");
  return { ...await text, info: await engine.ready };
}
