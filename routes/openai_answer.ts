/**
 * One answer as OpenAI's routes give it, in parts: text that is certain, and the tokens behind it.
 *
 * Knows when a token may be shown (not before its text, never for text that a stop string took) and
 * where it lies. Knows no JSON: whole answers and streams are made of the same parts.
 */
import type { TokenLogprob } from "../model/engine.ts";
import {
  type EndTextEvent,
  generateText,
  type PromptTextEvent,
  type TextRequest,
  type TokenTextEvent,
} from "../model/text_generation.ts";
import type { Tokenizer } from "../model/tokenizer.ts";
import { type ReadyModel, scoped, type Service } from "./service.ts";

/** A token with its raw log-probabilities. */
export interface ScoredToken {
  id: number;
  /** null for the first token of a prompt. */
  logprob: number | null;
  /** The likeliest for its place, best first. */
  top: readonly TokenLogprob[];
  /** Where its text begins, in Unicode code points from the start of the answer (echo included). */
  offset: number;
}

export interface AnswerPart {
  text: string;
  /** Those whose text has begun to be shown. */
  tokens: ScoredToken[];
  /** Set on the last part. */
  finish?: "stop" | "length";
}

/** What one choice is made of. */
export interface ChoiceRequest {
  request: TextRequest;
  /** Text of the prompt, where the answer begins with it. */
  echo: string | undefined;
  /** Whether only the prompt is asked for. */
  promptOnly: boolean;
  /** Whether white space at the beginning of the answer belongs to the prompt's format. */
  trimStart: boolean;
}

/** Told of each token that was generated. */
type OnToken = (token: TokenTextEvent) => void;

/** @throws {EngineError} what the engine throws; the reason of `signal` once it is aborted */
export async function* answerParts(
  { engine }: Service,
  model: ReadyModel,
  { request, echo, promptOnly, trimStart }: ChoiceRequest,
  signal: AbortSignal,
  onToken: OnToken,
): AsyncGenerator<AnswerPart> {
  const scoresPrompt = echo !== undefined && request.promptLogprobs;
  if (promptOnly && !scoresPrompt) return yield { text: echo!, tokens: [], finish: "length" };

  // Not before the engine has taken the request: until then it may be refused.
  let head = scoresPrompt ? undefined : echo;
  const shown = new ShownTokens(request.stopTokens, codePoints(echo ?? ""));
  let trims = trimStart;
  const { tokenizer } = model;
  for await (const event of generateText(engine, tokenizer, scoped(request, model), signal)) {
    if (head !== undefined) yield { text: head, tokens: [] };
    head = undefined;
    if (event.type === "prompt") {
      if (scoresPrompt) yield { text: echo, tokens: promptTokens(tokenizer, event) };
      if (promptOnly) return yield { text: "", tokens: [], finish: "length" };
    } else if (event.type === "token") {
      onToken(event);
      const tokens = shown.add(event);
      const text = trims ? event.safeText.trimStart() : event.safeText;
      trims &&= text === "";
      if (text !== "" || tokens.length > 0) yield { text, tokens };
    } else {
      yield { text: "", tokens: shown.end(event), finish: shown.finish(event) };
    }
  }
}

/** Holds tokens back until their text is shown. */
class ShownTokens {
  #held: ScoredToken[] = [];
  #last: number | undefined;
  /** Where the next token's text begins, and where what is shown ends. */
  #decoded: number;
  #shown: number;

  constructor(private readonly stopTokens: readonly number[], private readonly start: number) {
    this.#decoded = this.#shown = start;
  }

  /** Takes the next token; those that may be shown now. */
  add({ id, logprob, top, text, special, safeText }: TokenTextEvent): ScoredToken[] {
    this.#held.push({ id, logprob, top, offset: this.#decoded });
    this.#last = id;
    if (!special) this.#decoded += codePoints(text);
    this.#shown += codePoints(safeText);
    return this.#release(({ offset }) => offset < this.#shown);
  }

  /** The rest of those that belong to the answer: no stop token, nothing that was cut off. */
  end({ text, stop }: EndTextEvent): ScoredToken[] {
    const end = this.start + codePoints(text);
    return this.#release(({ id, offset }) =>
      offset < end || (stop === undefined && !this.stopTokens.includes(id))
    );
  }

  finish({ reason, stop }: EndTextEvent): "stop" | "length" {
    const stopped = stop !== undefined || this.stopTokens.includes(this.#last!);
    return reason === "length" && !stopped ? "length" : "stop";
  }

  #release(may: (token: ScoredToken) => boolean): ScoredToken[] {
    const kept = this.#held.findIndex((token) => !may(token));
    return this.#held.splice(0, kept < 0 ? this.#held.length : kept);
  }
}

function promptTokens(tokenizer: Tokenizer, { tokens }: PromptTextEvent): ScoredToken[] {
  const detokenizer = tokenizer.detokenizer();
  let offset = 0;
  return tokens.map(({ id, logprob, top }) => {
    const token = { id, logprob, top, offset };
    offset += codePoints(tokenizer.isSpecial(id) ? tokenizer.piece(id) : detokenizer.push(id));
    return token;
  });
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
