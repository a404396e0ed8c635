/**
 * Speeds of the real engine: sampling on, ids read back, text made of them.
 *
 * Knows how an answer is asked for and when its tokens come. Knows no GPU and no HTTP.
 */
import type { Engine } from "../../model/engine.ts";
import { GREEDY } from "../../model/engine.ts";
import { median } from "../../model/statistics.ts";
import { generateText } from "../../model/text_generation.ts";
import { type Plan, SAMPLING } from "./plan.ts";
import type { Prompts } from "./prompts.ts";

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
      const { first, last } = await answer(engine, prompts, context, tokens);
      return last - first;
    });
    decode.set(context, (tokens - 1) / seconds);
  }
  const prefill = new Map<number, number>();
  for (const length of lengths) {
    onProgress(`prefill, ${length} tokens`);
    const seconds = await medianOf(plan, async () => {
      return (await answer(engine, prompts, length, 1)).first;
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
async function answer(engine: Engine, prompts: Prompts, length: number, tokens: number) {
  const request = {
    prompt: prompts.ids(length),
    maxNewTokens: tokens,
    sampling: { ...GREEDY, ...SAMPLING, seed: 1 },
    stop: [],
    keepStop: false,
    stopTokens: [],
    topTokens: 0,
    promptLogprobs: false,
  };
  const started = performance.now();
  let first: number | undefined;
  let last = started;
  for await (const event of generateText(engine, prompts.tokenizer, request)) {
    if (event.type !== "token") continue;
    last = performance.now();
    first ??= last;
  }
  return { first: ((first ?? last) - started) / 1000, last: (last - started) / 1000 };
}
