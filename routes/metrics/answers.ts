/**
 * What is counted and timed of the answers that the engine is asked for.
 *
 * Knows the names (TGI's and ours), the buckets, and the times that matter in the course of an
 * answer. Knows no HTTP: an answer here is one call of the engine, several for one request with
 * `n`, and what is refused before that is counted in `refusals.ts`.
 */
import { Counter, exponentialBuckets, Histogram, type Registry } from "prom-client";
import type { EngineErrorCode, GenerateRequest, TokenEvent } from "../../model/engine.ts";

/** TGI's words for why an answer failed, and three of ours where it has none. */
export type Failure =
  | "validation"
  | "overloaded"
  | "generation"
  | "dropped"
  | "loading"
  | "unavailable"
  | "draining";

const FAILURES: Record<EngineErrorCode, Failure> = {
  busy: "overloaded",
  invalid: "validation",
  failed: "generation",
  lost: "generation",
  unread: "generation",
  loading: "loading",
  unavailable: "unavailable",
  draining: "draining",
};

export function failureOf(code: EngineErrorCode | undefined): Failure {
  return code === undefined ? "generation" : FAILURES[code];
}

/** Seconds: 1 ms to 131 s for a whole answer, 0.1 ms to 3.3 s for a token. */
const LONG = exponentialBuckets(0.001, 2, 18);
const SHORT = exponentialBuckets(0.0001, 2, 16);
/** Tokens: 1 to 32,768. */
const TOKENS = exponentialBuckets(1, 2, 16);

export class AnswerMetrics {
  readonly count: Counter;
  readonly success: Counter;
  readonly failure: Counter<"err">;
  readonly duration: Histogram;
  readonly queue: Histogram;
  readonly inference: Histogram;
  readonly meanPerToken: Histogram;
  readonly inputLength: Histogram;
  readonly maxNewTokens: Histogram;
  readonly generated: Histogram;
  readonly firstToken: Histogram;
  readonly perToken: Histogram;
  readonly tokensIn: Counter;
  readonly tokensOut: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers });
    this.count = counter("tgi_request_count", "Answers asked for.");
    this.success = counter("tgi_request_success", "Answers that were read to their end.");
    this.failure = new Counter({
      name: "tgi_request_failure",
      help: "Answers that were refused, broke off or were left by their client.",
      labelNames: ["err"],
      registers,
    });
    for (const err of new Set<Failure>([...Object.values(FAILURES), "dropped"])) {
      this.failure.inc({ err }, 0);
    }
    this.duration = histogram("tgi_request_duration", "Seconds of a whole answer.", LONG);
    this.queue = histogram("tgi_request_queue_duration", "Seconds before the first step.", LONG);
    this.inference = histogram("tgi_request_inference_duration", "Seconds after the queue.", LONG);
    this.meanPerToken = histogram(
      "tgi_request_mean_time_per_token_duration",
      "Seconds after the queue, divided by the tokens of the answer.",
      SHORT,
    );
    this.inputLength = histogram("tgi_request_input_length", "Tokens of a prompt.", TOKENS);
    this.maxNewTokens = histogram("tgi_request_max_new_tokens", "Tokens asked for.", TOKENS);
    this.generated = histogram("tgi_request_generated_tokens", "Tokens of an answer.", TOKENS);
    this.firstToken = histogram(
      "clairon_time_to_first_token_seconds",
      "Seconds from the request to its first token, queue and prompt included.",
      LONG,
    );
    this.perToken = histogram(
      "clairon_time_per_output_token_seconds",
      "Seconds between two tokens as they are handed on: a client that reads slowly counts.",
      SHORT,
    );
    this.tokensIn = counter("clairon_prompt_tokens_total", "Tokens of prompts taken.");
    this.tokensOut = counter("clairon_generated_tokens_total", "Tokens made.");
  }

  begin(request: GenerateRequest): AnswerInProgress {
    this.count.inc();
    return new AnswerInProgress(this, request);
  }
}

/** One answer; call `token` for each, then either `succeed` or `fail`. */
export class AnswerInProgress {
  readonly #began = performance.now();
  #last = this.#began;
  #tokens = 0;
  #queued = 0;

  constructor(
    private readonly metrics: AnswerMetrics,
    private readonly request: GenerateRequest,
  ) {}

  token(event: Extract<TokenEvent, { type: "token" }>): void {
    const { metrics, request } = this;
    const now = performance.now();
    if (this.#tokens++ === 0) {
      metrics.tokensIn.inc(request.prompt.length);
      metrics.inputLength.observe(request.prompt.length);
      metrics.maxNewTokens.observe(request.maxNewTokens);
      metrics.firstToken.observe((now - this.#began) / 1000);
      if (event.queuedSeconds !== undefined) {
        this.#queued = event.queuedSeconds;
        metrics.queue.observe(this.#queued);
      }
    } else metrics.perToken.observe((now - this.#last) / 1000);
    metrics.tokensOut.inc();
    this.#last = now;
  }

  succeed(): void {
    const { metrics } = this;
    const seconds = (performance.now() - this.#began) / 1000;
    const computing = Math.max(seconds - this.#queued, 0);
    metrics.success.inc();
    metrics.duration.observe(seconds);
    metrics.inference.observe(computing);
    metrics.meanPerToken.observe(computing / Math.max(this.#tokens, 1));
    metrics.generated.observe(this.#tokens);
  }

  fail(err: Failure): void {
    this.metrics.failure.inc({ err });
  }
}
