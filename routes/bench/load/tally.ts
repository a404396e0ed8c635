/**
 * What became of many requests, and the figures that follow from it.
 *
 * Knows answers, errors and percentiles. Sends nothing and shows nothing.
 */
import { percentile } from "../../../model/statistics.ts";
import { type Answer, LoadError } from "./client.ts";

/** Milliseconds. */
export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
}

/** Null where nothing was measured. */
export function percentilesOf(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null;
  const [p50, p90, p99] = [50, 90, 99].map((percent) => percentile(values, percent));
  return { p50: p50!, p90: p90!, p99: p99! };
}

export class Tally {
  readonly answers: Answer[] = [];
  /** How often each kind of error came. */
  readonly errors = new Map<string, number>();
  /** What the server said the first time that it refused. */
  firstError: string | undefined;
  /** Requests that were cut off, because the measurement was. */
  cut = 0;

  /** Waits for an answer and counts it, or the reason that there is none. */
  async count(answer: Promise<Answer>, signal: AbortSignal): Promise<void> {
    try {
      this.answers.push(await answer);
    } catch (error) {
      if (signal.aborted) this.cut++;
      else if (error instanceof LoadError) {
        this.errors.set(error.kind, (this.errors.get(error.kind) ?? 0) + 1);
        this.firstError ??= error.message;
      } else throw error;
    }
  }

  figures() {
    const { answers } = this;
    const tokens = sum(answers.map((answer) => answer.tokens));
    const began = Math.min(...answers.map(({ sent }) => sent));
    const ended = Math.max(...answers.map(({ last }) => last));
    const seconds = answers.length > 0 ? (ended - began) / 1000 : 0;
    const speeds = answers.map(({ sent, last, tokens }) => tokens / (last - sent) * 1000);
    return {
      requests: answers.length,
      errors: Object.fromEntries(this.errors),
      cut: this.cut,
      seconds,
      prompt_tokens: mean(answers.map(({ promptTokens }) => promptTokens ?? NaN)),
      answer_tokens: mean(answers.map(({ tokens }) => tokens)),
      /** False where the server told no usage, and events stand for tokens. */
      counted_by_server: answers.every(({ counted }) => counted),
      tokens_per_s: seconds > 0 ? tokens / seconds : null,
      ttft_ms: percentilesOf(answers.map(({ sent, first }) => first - sent)),
      /** Of each stream after its first token, by the tokens that it says to have. */
      per_token_ms: percentilesOf(
        answers.filter(({ tokens }) => tokens > 1).map(({ first, last, tokens }) =>
          (last - first) / (tokens - 1)
        ),
      ),
      /** Between two events of a stream. */
      gap_ms: percentilesOf(answers.flatMap(({ times }) => gaps(times))),
      stream_tokens_per_s: mean(speeds),
      slowest_to_mean: speeds.length > 0 ? Math.min(...speeds) / mean(speeds)! : null,
    };
  }
}

export type LoadFigures = ReturnType<Tally["figures"]>;

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, i) => time - times[i]!);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** Null where there is nothing, or something was not told. */
function mean(values: readonly number[]): number | null {
  const value = sum(values) / values.length;
  return Number.isFinite(value) ? value : null;
}
