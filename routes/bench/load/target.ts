/**
 * What a server is like: the model it has, the sampling fields it takes, and how it counts tokens.
 *
 * Knows how to find that out with a few short requests. Knows no figure.
 */
import { SAMPLING } from "../plan.ts";
import { type Api, ask, countTokens, firstModel, LoadError, type Target } from "./client.ts";
import { FEW, Texts, type TokenCount } from "./texts.ts";
import { words } from "./words.ts";

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
  texts: Texts;
}

export interface Address {
  url: URL;
  api: Api;
  model: string | undefined;
  key: string | undefined;
}

/** @throws {LoadError} for a server that does not answer */
export async function meet(
  { url, api, model, key }: Address,
  signal: AbortSignal,
): Promise<Server> {
  const base = baseOf(url);
  const name = model ?? await firstModel(base, key);
  const target: Target = { base, api, model: name, key, sampling: FULL };
  let full = true;
  const answered: TokenCount = async (text) => {
    const turns = [{ role: "user" as const, content: text }];
    return (await ask(target, { turns, tokens: 1, signal })).promptTokens;
  };
  const sample = words(FEW);
  let few: number | undefined;
  try {
    few = await answered(sample);
  } catch (error) {
    if (!(error instanceof LoadError) || !["HTTP 400", "HTTP 422"].includes(error.kind)) {
      throw error;
    }
    target.sampling = PLAIN;
    full = false;
    few = await answered(sample);
  }
  const counted = await countTokens(target, sample, signal);
  if (counted === undefined) return { target, full, texts: await Texts.measure(answered, few) };
  // What chats put around a text only an answer's usage tells.
  const added = (few ?? counted) - counted;
  const count: TokenCount = async (text) => {
    const tokens = await countTokens(target, text, signal);
    return tokens === undefined ? undefined : tokens + added;
  };
  return { target, full, texts: await Texts.measure(count, counted + added) };
}

function baseOf(url: URL): string {
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${path.endsWith("/v1") ? path : `${path}/v1`}`;
}
