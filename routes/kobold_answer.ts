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

/** `n` answers, one after the other; an abort ends the one that runs and begins no other. */
export async function wholeAnswers(call: KoboldCall, n: number) {
  using run = call.runs.begin(call.key);
  const { record, request } = call;
  const start = performance.now();
  const results = [];
  for (let i = 0; i < n && !run.aborted; i++) {
    const before = record.tokens ?? 0;
    let finish_reason: Piece["finish_reason"] = null;
    run.text = "";
    for await (const piece of pieces(i === 0 ? call : reseeded(call), run)) {
      ({ finish_reason } = piece);
    }
    record.generationMs = performance.now() - start;
    results.push({
      text: run.text,
      finish_reason,
      prompt_tokens: request.prompt.length,
      completion_tokens: (record.tokens ?? 0) - before,
    });
  }
  return results;
}

/** The pieces as events, each with the name that KoboldAI's clients look for. */
export async function* streamedAnswer(call: KoboldCall) {
  using run = call.runs.begin(call.key);
  for await (const piece of pieces(call, run)) yield { type: "message", ...piece };
}

async function* pieces(call: KoboldCall, run: KoboldRun): AsyncGenerator<Piece> {
  const { engine, model, runs, record } = call;
  const request = scoped(call.request, model);
  const signal = AbortSignal.any([call.signal, run.signal]);
  const before = record.tokens ?? 0;
  const start = performance.now();
  let first = start;
  try {
    for await (const event of generateText(engine, model.tokenizer, request, signal)) {
      if (event.type === "token") {
        if (event.index === 1) first = performance.now();
        record.tokens = before + event.index;
        run.text += event.safeText;
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
