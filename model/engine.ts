/**
 * What an engine is: token ids in, token ids out.
 *
 * Knows the request, the events and the errors that cross the boundary. Knows no text, no HTTP and
 * no GPU: `local_engine.ts` puts the GPU behind this interface, tests put a fake behind it.
 */

/** A finite number for a token id below the vocabulary size. */
export type LogitBias = readonly [id: number, bias: number];

/** How the next token is chosen. The neutral value of each field switches that step off. */
export interface Sampling {
  /** Divides the logits; 0 means greedy. Neutral: 1. */
  temperature: number;
  /** Keep the k highest logits (ties at the k-th are kept). Neutral: 0. */
  topK: number;
  /** Keep the smallest set of tokens whose probability reaches p. Neutral: 1. */
  topP: number;
  /** Keep tokens at least this fraction as probable as the best one. Neutral: 0. */
  minP: number;
  /** Locally typical sampling: keep this mass of the tokens closest to the entropy. Neutral: 1. */
  typicalP: number;
  /** Divides positive and multiplies negative logits of every id seen so far. Neutral: 1. */
  repetitionPenalty: number;
  /** Subtracted once per earlier occurrence of the id; see `frequencyScope`. Neutral: 0. */
  frequencyPenalty: number;
  /**
   * What the frequency penalty counts: occurrences in the generated text (OpenAI), or the share of
   * the whole context, prompt included (TGI: `penalty * count / length`).
   */
  frequencyScope: "output" | "context";
  /** Subtracted once from every id already generated. Neutral: 0. */
  presencePenalty: number;
  /** Added to the logits of these ids, before the penalties; each id once. Neutral: none. */
  logitBias: readonly LogitBias[];
  /** The same seed and request give the same tokens. An integer from 0 to 2^53 - 1. */
  seed: number;
}

/** Greedy decoding with every step off; spread it and change what is asked for. */
export const GREEDY: Readonly<Sampling> = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  frequencyScope: "output",
  presencePenalty: 0,
  logitBias: [],
  seed: 0,
};

/** The most alternatives a request may ask for beside each token. */
export const MAX_TOP_TOKENS = 20;

export interface GenerateRequest {
  /** Prompt token ids, at least one, each below the vocabulary size. */
  prompt: readonly number[];
  /** At least 1; prompt and new tokens together fit in `EngineInfo.maxPositions`. */
  maxNewTokens: number;
  sampling: Sampling;
  /** Generation ends after one of these is produced (the end-of-text id, usually). */
  stopTokens: readonly number[];
  /** How many alternatives to report beside each token, 0 to MAX_TOP_TOKENS. */
  topTokens: number;
  /**
   * Also report the log-probability of each prompt token given those before it, with `topTokens`
   * alternatives.
   */
  promptLogprobs: boolean;
  /**
   * Whose prompts it may share keys and values with: those of the same scope. Never a key itself.
   * Default: one scope for all that name none.
   */
  cacheScope?: string;
  /** Requests with the same one go to the same GPU server, if there are several. Default: none. */
  affinity?: string;
}

/** A token and its natural-log probability. -Infinity where sampling removed it. */
export interface TokenLogprob {
  id: number;
  logprob: number;
}

export type FinishReason = "length" | "stop_token";

export type TokenEvent =
  /**
   * First, when asked for: one value a prompt token; the first token has none. `top` holds the best
   * `topTokens` for each place by the model's own logits, best first, none for the first.
   */
  | { type: "prompt"; logprobs: (number | null)[]; top: TokenLogprob[][] }
  | {
    type: "token";
    id: number;
    /** Log-softmax of the model's own logits (OpenAI's meaning). */
    logprob: number;
    /** Log-softmax after penalties, temperature and truncation (TGI's meaning). */
    processedLogprob: number;
    /** Best `topTokens` by the model's own logits, best first. */
    top: TokenLogprob[];
    /** Best `topTokens` after processing, best first. */
    processedTop: TokenLogprob[];
    /** On the first token: tokens of the prompt whose keys and values were there already. */
    cachedTokens?: number;
    /** On the first token: seconds from the request to its first row in a step. */
    queuedSeconds?: number;
    /** Set on the last token. */
    finish?: FinishReason;
  };

export interface EngineInfo {
  /** What was loaded, as a person would name it. */
  model: string;
  /** Of a model from the hub: the branch, tag or commit asked for, and the commit that it was. */
  revision?: string;
  commit?: string;
  /** The GPU adapter's name, and whether it is a CPU pretending to be one. */
  adapter: string;
  software: boolean;
  /** The way that decoding takes: "portable" or "persistent"; see `path.ts`. */
  path: string;
  /** Why that one, in words. */
  pathReason?: string;
  /** What several rows are multiplied as: half precision, whole numbers of two bytes, or of one. */
  activations?: "f16" | "int16" | "int8";
  /** Whether an answer depends on nothing but its request. */
  deterministic?: boolean;
  bits: number;
  groupSize: number;
  actOrder: boolean;
  vocabSize: number;
  /** Longest prompt plus answer, in tokens. */
  maxPositions: number;
  /** Requests computed together, at most. */
  slots: number;
  /** What the KV cache holds, in tokens and in bytes. */
  kvTokens: number;
  kvBytes: number;
  /** Bytes of our own GPU buffers. */
  gpuMemoryBytes: number;
  loadSeconds: number;
}

/** "unavailable": it cannot answer now, and may later: its GPU servers are away. */
export type EngineState = "loading" | "ready" | "unavailable" | "draining" | "lost" | "closed";

export interface EngineStats {
  state: EngineState;
  /** Of the load, 0 to 1. */
  progress: number;
  running: number;
  waiting: number;
  /** Token rows computed since the start: prompt and decode rows alike. */
  rows: number;
  /** Steps of the GPU since the start; rows / steps is the mean batch. */
  steps: number;
  /** KV blocks that running requests hold now, and in all; others may keep prefixes for later. */
  blocksUsed: number;
  blocksTotal: number;
  /** Prompt tokens looked up among the kept prefixes since the start, and those found. */
  prefixQueries: number;
  prefixHits: number;
  /** Tokens that prompt lookup guessed since the start, and those that were right. */
  guessesMade: number;
  guessesRight: number;
  /** Requests whose client left since the start, by what they were waiting for. */
  cancelledQueued: number;
  cancelledPrefill: number;
  cancelledDecode: number;
  /** Computed already, or too long unread. */
  cancelledWriting: number;
  /** Requests refused since the start: the queue was full, or they waited in it too long. */
  refusedFull: number;
  refusedLate: number;
  /** How often a worker that failed was followed by another one. */
  restarts: number;
}

/** Of an engine that has done nothing. */
export const NO_COUNTS: Readonly<Omit<EngineStats, "state" | "progress">> = {
  running: 0,
  waiting: 0,
  rows: 0,
  steps: 0,
  blocksUsed: 0,
  blocksTotal: 0,
  prefixQueries: 0,
  prefixHits: 0,
  guessesMade: 0,
  guessesRight: 0,
  cancelledQueued: 0,
  cancelledPrefill: 0,
  cancelledDecode: 0,
  cancelledWriting: 0,
  refusedFull: 0,
  refusedLate: 0,
  restarts: 0,
};

export interface Engine {
  /** Resolves once the model can answer; rejects when it cannot be loaded. */
  readonly ready: Promise<EngineInfo>;
  /**
   * Streams one answer. Leaving the loop early, or aborting `signal`, stops the work on the GPU
   * within a few steps, wherever the request is.
   *
   * @throws {EngineError} of any code; never a raw GPU message.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<TokenEvent>;
  stats(): EngineStats;
  /** Takes no new request, lets the running ones end, then resolves. */
  drain(): Promise<void>;
  /** Stops at once and frees the GPU. */
  close(): Promise<void>;
  /** Resolves with a reason if the engine can never answer again (GPU lost). */
  readonly lost: Promise<string>;
}

export type EngineErrorCode =
  | "busy"
  | "loading"
  | "unavailable"
  | "draining"
  | "invalid"
  | "lost"
  | "failed"
  | "unread";

/** Why a request was refused or broke off; the message is fit for a client. */
export class EngineError extends Error {
  override name = "EngineError";
  /** @param retryAfter seconds after which another try makes sense, where that can be told */
  constructor(readonly code: EngineErrorCode, message: string, readonly retryAfter?: number) {
    super(message);
  }
}
