/**
 * How much sooner the second turn of a dialogue begins than the first did.
 *
 * Knows that the second prompt is the first, its answer, and some words more. Knows nothing of how a
 * server makes use of that.
 */
import { median } from "../../../model/statistics.ts";
import { ask, type Turn } from "./client.ts";
import type { Server } from "./target.ts";

const DIALOGUES = 7;
/** Tokens that the second turn adds, about. */
const REPLY = 12;

export interface SecondTurn {
  /** Of the first prompt and of the second, and how many of the latter the server says it kept. */
  first_tokens: number | null;
  second_tokens: number | null;
  cached_tokens: number | null;
  dialogues: number;
  /** Medians. */
  first_ttft_ms: number | null;
  second_ttft_ms: number | null;
  second_to_first: number | null;
}

/** @throws {LoadError} if a turn gets no answer */
export async function secondTurn(
  { target, texts }: Server,
  promptTokens: number,
  tokens: number,
  signal: AbortSignal,
): Promise<SecondTurn> {
  const prompt = await texts.of(promptTokens);
  const firsts: number[] = [];
  const seconds: number[] = [];
  let lengths: Pick<SecondTurn, "first_tokens" | "second_tokens" | "cached_tokens"> = {
    ...{ first_tokens: null, second_tokens: null, cached_tokens: null },
  };
  try {
    for (let nth = 0; nth < DIALOGUES; nth++) {
      const turns: Turn[] = [{ role: "user", content: prompt() }];
      const first = await ask(target, { turns, tokens, signal });
      turns.push({ role: "assistant", content: first.text });
      turns.push({ role: "user", content: `\n${texts.more(REPLY)}` });
      const second = await ask(target, { turns, tokens, signal });
      firsts.push(first.first - first.sent);
      seconds.push(second.first - second.sent);
      lengths = {
        first_tokens: first.promptTokens ?? null,
        second_tokens: second.promptTokens ?? null,
        cached_tokens: second.cachedTokens ?? null,
      };
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const [one, two] = [firsts, seconds].map((values) => values.length > 0 ? median(values) : null);
  return {
    ...lengths,
    dialogues: seconds.length,
    first_ttft_ms: one!,
    second_ttft_ms: two!,
    second_to_first: one && two ? two / one : null,
  };
}
