/**
 * What a server is like: the model it has, the sampling fields it takes, and how many tokens it
 * makes of a text.
 *
 * Knows how to find that out with a few short requests. Knows no figure.
 */
import { SAMPLING } from "../plan.ts";
import { type Answer, type Api, ask, firstModel, LoadError, type Target } from "./client.ts";
import { ROUND, words } from "./words.ts";

/** What OpenAI's own API takes. */
const PLAIN = { temperature: SAMPLING.temperature, top_p: SAMPLING.topP };
/** What servers like it take beside that; answers keep their full length. */
const FULL = {
  ...PLAIN,
  top_k: SAMPLING.topK,
  repetition_penalty: SAMPLING.repetitionPenalty,
  ignore_eos: true,
};

export interface Server {
  target: Target;
  /** Whether it takes top-k, repetition penalty and answers of full length. */
  full: boolean;
  /** A text of about that many tokens, whatever the API adds included; no two begin alike. */
  prompt(tokens: number): string;
}

export interface Address {
  url: URL;
  api: Api;
  model: string | undefined;
  key: string | undefined;
}

/** @throws {LoadError} for a server that does not answer */
export async function meet({ url, api, model, key }: Address, signal: AbortSignal) {
  const base = baseOf(url);
  const name = model ?? await firstModel(base, key);
  const target: Target = { base, api, model: name, key, sampling: FULL };
  let full = true;
  const measure = async (count: number): Promise<number | undefined> => {
    const { promptTokens } = await short(target, count, signal);
    return promptTokens;
  };
  let few: number | undefined;
  try {
    few = await measure(FEW);
  } catch (error) {
    if (!(error instanceof LoadError) || !["HTTP 400", "HTTP 422"].includes(error.kind)) {
      throw error;
    }
    target.sampling = PLAIN;
    full = false;
    few = await measure(FEW);
  }
  const many = await measure(MANY);
  const server: Server = { target, full, prompt: prompts(few, many) };
  return server;
}

/** Words of the texts whose tokens are counted. */
const FEW = ROUND;
const MANY = 3 * ROUND;
/** Where a server does not say: about what byte-level BPE makes of French. */
const TOKENS_PER_WORD = 1.6;

function prompts(few: number | undefined, many: number | undefined) {
  const known = few !== undefined && many !== undefined;
  const perWord = known ? (many - few) / (MANY - FEW) : TOKENS_PER_WORD;
  const fixed = known ? few - perWord * FEW : 0;
  return (tokens: number) => words(Math.max(1, Math.round((tokens - fixed) / perWord)));
}

async function short(target: Target, count: number, signal: AbortSignal): Promise<Answer> {
  const turns = [{ role: "user" as const, content: words(count) }];
  // More than one token: the first may be half a character.
  return await ask(target, { turns, tokens: 8, signal });
}

function baseOf(url: URL): string {
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${path.endsWith("/v1") ? path : `${path}/v1`}`;
}
