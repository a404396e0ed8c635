/**
 * KoboldAI's answers, whole or piece by piece, and how they end: by themselves, by the key of an
 * abort, or with their client.
 *
 * Knows the shape of an answer and of a piece. Knows no route and no field of a request.
 */
import type { Engine } from "../model/engine.ts";
import { generateText, type TextRequest } from "../model/text_generation.ts";
import type { KoboldRun, KoboldRuns } from "./kobold_runs.ts";
import type { RequestRecord } from "./request_log.ts";
import { type ReadyModel, scoped } from "./service.ts";
import { severalAnswers, type Start } from "./several.ts";
import { randomSeed } from "./sampling_values.ts";

export interface KoboldCall {
  engine: Engine;
  model: ReadyModel;
  runs: KoboldRuns;
  record: RequestRecord;
  /** The client's name for it, by which it can be aborted. */
  key: string;
  request: TextRequest;
  /** Aborted once the client is gone. */
  signal: AbortSignal;
}

interface Piece {
  token: string;
  /** Set on the last piece, which has no text. */
  finish_reason: "stop" | "length" | null;
}

interface Result {
  text: string;
  finish_reason: Piece["finish_reason"];
  prompt_tokens: number;
  completion_tokens: number;
}

/** `n` answers at the same time; an abort ends those that run and begins no other. */
export async function wholeAnswers(call: KoboldCall, n: number): Promise<Result[]> {
  using run = call.runs.begin(call.key);
  const { record, model } = call;
  const start = performance.now();
  const starts = Array.from({ length: n }, (_, i): Start<Result> =>
    async function* (signal) {
      if (run.aborted) return;
      yield await wholeAnswer({ ...(i === 0 ? call : reseeded(call)), signal }, run, i === 0);
    });
  const results: Result[] = [];
  for await (const [i, result] of severalAnswers(starts, model.info.slots, call.signal)) {
    results[i] = result;
    record.generationMs = performance.now() - start;
  }
  // Those that were never begun have left holes.
  return results.filter(() => true);
}

/** @param isShown whether the run's text is that of this answer */
async function wholeAnswer(call: KoboldCall, run: KoboldRun, isShown: boolean): Promise<Result> {
  let [text, tokens] = ["", 0];
  let finish_reason: Piece["finish_reason"] = null;
  for await (const piece of pieces(call, run, () => tokens++)) {
    ({ finish_reason } = piece);
    text += piece.token;
    if (isShown) run.text = text;
  }
  const prompt_tokens = call.request.prompt.length;
  return { text, finish_reason, prompt_tokens, completion_tokens: tokens };
}

/** The pieces as events, each with the name that KoboldAI's clients look for. */
export async function* streamedAnswer(call: KoboldCall) {
  using run = call.runs.begin(call.key);
  for await (const piece of pieces(call, run)) {
    run.text += piece.token;
    yield { type: "message", ...piece };
  }
}

async function* pieces(
  call: KoboldCall,
  run: KoboldRun,
  onToken: () => void = () => {},
): AsyncGenerator<Piece> {
  const { engine, model, runs, record } = call;
  const request = scoped(call.request, model);
  const signal = AbortSignal.any([call.signal, run.signal]);
  const start = performance.now();
  let first = start;
  try {
    for await (const event of generateText(engine, model.tokenizer, request, signal)) {
      if (event.type === "token") {
        if (event.index === 1) first = performance.now();
        record.tokens = (record.tokens ?? 0) + 1;
        onToken();
        if (event.safeText !== "") yield { token: event.safeText, finish_reason: null };
      } else if (event.type === "end") {
        runs.finish({
          process: (first - start) / 1000,
          generate: (performance.now() - first) / 1000,
          promptTokens: event.promptTokens,
          tokens: event.generatedTokens,
          seed: request.sampling.seed,
          reason: event.reason,
        });
        yield { token: "", finish_reason: event.reason === "length" ? "length" : "stop" };
      }
    }
  } catch (error) {
    // Whoever aborts by key still gets what there is.
    if (call.signal.aborted || !run.aborted) throw error;
    yield { token: "", finish_reason: "stop" };
  }
}

function reseeded(call: KoboldCall): KoboldCall {
  const { request } = call;
  return {
    ...call,
    request: { ...request, sampling: { ...request.sampling, seed: randomSeed() } },
  };
}
