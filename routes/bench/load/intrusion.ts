/**
 * What a long prompt does to the streams that run when it arrives.
 *
 * Knows which gaps between events count: those that overlap the time from sending the prompt to its
 * first token. Knows no server in particular.
 */
import { type Percentiles, percentilesOf, Tally } from "./tally.ts";
import { ask } from "./client.ts";
import { closedLoop } from "./arrivals.ts";
import type { Server } from "./target.ts";

const ROUNDS = 5;
/** Events of each stream before the prompt arrives, and between two prompts. */
const QUIET = 16;
/** Tokens of the answer to it. */
const ANSWER = 4;

export interface Intrusion {
  intruder_tokens: number | null;
  /** Until the first token of the long prompt. */
  intruder_ttft_ms: Percentiles | null;
  /** Of the running streams, while it is read and before. */
  gap_ms: Percentiles | null;
  quiet_gap_ms: Percentiles | null;
  streams: number;
  errors: Record<string, number>;
}

export interface IntrusionPlan {
  streams: number;
  promptTokens: number;
  tokens: number;
  /** Tokens of the prompt that arrives. */
  intruder: number;
}

/** @throws {LoadError} if the long prompt gets no answer */
export async function intrude(
  { target, texts }: Server,
  { streams, promptTokens, tokens, intruder }: IntrusionPlan,
  stopped: AbortSignal,
): Promise<Intrusion> {
  const [prompt, longPrompt] = [await texts.of(promptTokens), await texts.of(intruder)];
  const over = new AbortController();
  const signal = AbortSignal.any([stopped, over.signal]);
  const tally = new Tally();
  const gaps: [from: number, to: number][] = [];
  let events = 0;
  let heard = () => {};
  const send = () => {
    let last: number | undefined;
    const onText = (at: number) => {
      if (last !== undefined) gaps.push([last, at]);
      last = at;
      events++;
      heard();
    };
    const turns = [{ role: "user" as const, content: prompt() }];
    return tally.count(ask(target, { turns, tokens, signal, onText }), signal);
  };
  const loop = closedLoop(streams, { requests: Infinity, milliseconds: Infinity, signal }, send);
  // Should every stream fail, nothing would ever be heard.
  const failed = () => tally.errors.size > 0 || signal.aborted;
  const quiet = async () => {
    const enough = events + QUIET * streams;
    while (events < enough && !failed()) {
      await Promise.race([new Promise<void>((resolve) => heard = resolve), patience()]);
    }
  };

  const arrivals: { sent: number; first: number; promptTokens: number | undefined }[] = [];
  try {
    for (let round = 0; round < ROUNDS && !failed(); round++) {
      await quiet();
      if (failed()) break;
      const turns = [{ role: "user" as const, content: longPrompt() }];
      arrivals.push(await ask(target, { turns, tokens: ANSWER, signal: stopped }));
    }
    await quiet();
  } catch (error) {
    if (!stopped.aborted) throw error;
  } finally {
    over.abort();
    await loop;
  }

  const { during = [], quiet: before = [] } = Object.groupBy(
    gaps,
    ([from, to]) =>
      arrivals.some(({ sent, first }) => to > sent && from < first) ? "during" : "quiet",
  );
  const length = ([from, to]: [number, number]) => to - from;
  return {
    intruder_tokens: arrivals[0]?.promptTokens ?? null,
    intruder_ttft_ms: percentilesOf(arrivals.map(({ sent, first }) => first - sent)),
    gap_ms: percentilesOf(during.map(length)),
    quiet_gap_ms: percentilesOf(before.map(length)),
    streams,
    errors: Object.fromEntries(tally.errors),
  };
}

function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}
