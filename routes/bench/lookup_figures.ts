/**
 * What prompt lookup gains or loses: the speed of answers that may be guessed, and how many guesses
 * were right.
 *
 * Knows which prompts and sampling make guesses: a text that repeats itself, no penalty. Knows no GPU
 * and not whether the engine guesses at all.
 */
import { type Engine, GREEDY, type Sampling } from "../../model/engine.ts";
import { answerTimes, medianOf } from "./engine_figures.ts";
import { type Plan, SAMPLING } from "./plan.ts";
import type { Prompts } from "./prompts.ts";

/** The likeliest tokens soon go in circles; drawn ones hardly do, with weights made here. */
const WAYS: Record<LookupWay, Sampling> = {
  likeliest: GREEDY,
  drawn: { ...GREEDY, ...SAMPLING, repetitionPenalty: 1, seed: 1 },
};

export type LookupWay = "likeliest" | "drawn";

export interface LookupFigure {
  /** After the first token. */
  tokensPerSecond: number;
  /** Tokens that were guessed, and those of them that were right, in all runs together. */
  made: number;
  right: number;
}

/** @throws {EngineError} what the engine throws */
export async function lookupFigures(
  engine: Engine,
  prompts: Prompts,
  plan: Plan,
  onProgress: (what: string) => void,
): Promise<Map<LookupWay, LookupFigure>> {
  const figures = new Map<LookupWay, LookupFigure>();
  const { contexts: [context], tokens } = plan;
  for (const [way, sampling] of Object.entries(WAYS) as [LookupWay, Sampling][]) {
    onProgress(`answers that may be guessed, ${way} tokens`);
    const before = engine.stats();
    const seconds = await medianOf(plan, async () => {
      const prompt = prompts.repeating(context!);
      const { first, last } = await answerTimes(engine, prompts, { prompt, tokens, sampling });
      return last - first;
    });
    const after = engine.stats();
    figures.set(way, {
      tokensPerSecond: (tokens - 1) / seconds,
      made: after.guessesMade - before.guessesMade,
      right: after.guessesRight - before.guessesRight,
    });
  }
  return figures;
}
