/**
 * Speeds of the real engine: sampling on, ids read back, text made of them.
 *
 * Knows how an answer is asked for and when its tokens come. Knows no GPU and no HTTP.
 */
import { type Engine, GREEDY, type Sampling } from "../../model/engine.ts";
import { median } from "../../model/statistics.ts";
import { generateText } from "../../model/text_generation.ts";
import { type Plan, SAMPLING } from "./plan.ts";
import type { Prompts } from "./prompts.ts";

/** How a token is chosen while speed is measured. */
const DRAWN: Sampling = { ...GREEDY, ...SAMPLING, seed: 1 };

export interface EngineFigures {
  /** Tokens a second after the first token, by context. */
  decode: Map<number, number>;
  /** Prompt tokens a second until the first token is there, by the prompt's length. */
  prefill: Map<number, number>;
}

/** @throws {EngineError} what the engine throws */
export async function engineFigures(
  engine: Engine,
  prompts: Prompts,
  plan: Plan,
  onProgress: (what: string) => void,
): Promise<EngineFigures> {
  const { contexts, lengths, tokens } = plan;
  const decode = new Map<number, number>();
  for (const context of contexts) {
    onProgress(`decode, context ${context}`);
    const seconds = await medianOf(plan, async () => {
      const prompt = prompts.ids(context);
      const asked = { prompt, tokens, sampling: DRAWN };
      const { first, last } = await answerTimes(engine, prompts, asked);
      return last - first;
    });
    decode.set(context, (tokens - 1) / seconds);
  }
  const prefill = new Map<number, number>();
  for (const length of lengths) {
    onProgress(`prefill, ${length} tokens`);
    const seconds = await medianOf(plan, async () => {
      const asked = { prompt: prompts.ids(length), tokens: 1, sampling: DRAWN };
      return (await answerTimes(engine, prompts, asked)).first;
    });
    prefill.set(length, length / seconds);
  }
  return { decode, prefill };
}

/** Works until the clocks are up, then measures several times. */
export async function medianOf(
  { runs, warmUp }: Pick<Plan, "runs" | "warmUp">,
  measure: () => Promise<number>,
): Promise<number> {
  const until = performance.now() + warmUp;
  do await measure(); while (performance.now() < until);
  const values: number[] = [];
  while (values.length < runs) values.push(await measure());
  return median(values);
}

/** Seconds until the first and the last token of an answer were there as text. */
export async function answerTimes(
  engine: Engine,
  { tokenizer }: Prompts,
  { prompt, tokens, sampling }: { prompt: number[]; tokens: number; sampling: Sampling },
) {
  const request = {
    prompt,
    maxNewTokens: tokens,
    sampling,
    stop: [],
    keepStop: false,
    stopTokens: [],
    topTokens: 0,
    promptLogprobs: false,
  };
  const started = performance.now();
  let first: number | undefined;
  let last = started;
  for await (const event of generateText(engine, tokenizer, request)) {
    if (event.type !== "token") continue;
    last = performance.now();
    first ??= last;
  }
  return { first: ((first ?? last) - started) / 1000, last: (last - started) / 1000 };
}
