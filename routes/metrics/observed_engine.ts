/**
 * An engine that counts what it is asked for: every route asks it, so no route counts.
 *
 * Knows the engine boundary and how an answer can end. Knows no metric by name.
 */
import {
  type Engine,
  EngineError,
  type GenerateRequest,
  type TokenEvent,
} from "../../model/engine.ts";
import { type AnswerMetrics, failureOf } from "./answers.ts";

export function observedEngine(engine: Engine, metrics: AnswerMetrics): Engine {
  return {
    ready: engine.ready,
    lost: engine.lost,
    stats: () => engine.stats(),
    drain: () => engine.drain(),
    close: () => engine.close(),
    generate: (request, signal) => observed(engine, metrics, request, signal),
  };
}

async function* observed(
  engine: Engine,
  metrics: AnswerMetrics,
  request: GenerateRequest,
  signal?: AbortSignal,
): AsyncGenerator<TokenEvent> {
  const answer = metrics.begin(request);
  let failed = false;
  try {
    for await (const event of engine.generate(request, signal)) {
      if (event.type === "token") answer.token(event);
      yield event;
    }
  } catch (error) {
    failed = true;
    const code = error instanceof EngineError ? error.code : undefined;
    answer.fail(signal?.aborted ? "dropped" : failureOf(code));
    throw error;
  } finally {
    // A loop that is left early has its stop string, or no client any more.
    if (!failed) {
      if (signal?.aborted) answer.fail("dropped");
      else answer.succeed();
    }
  }
}
