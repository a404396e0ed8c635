/**
 * An engine that computes nothing: tokens come at a set pace, as from a fast GPU.
 *
 * For measuring what lies between it and a client. Knows no model, and keeps no promise of the
 * engine's boundary but the order of events.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Engine,
  type EngineInfo,
  type EngineStats,
  type GenerateRequest,
  NO_COUNTS,
  type TokenEvent,
} from "../../model/engine.ts";

const INFO: EngineInfo = {
  model: "paced",
  adapter: "none",
  software: true,
  path: "none",
  bits: 4,
  groupSize: 128,
  actOrder: false,
  vocabSize: 2 ** 16,
  maxPositions: 1e6,
  slots: 1,
  kvTokens: 0,
  kvBytes: 0,
  gpuMemoryBytes: 0,
  loadSeconds: 0,
};

/**
 * @param interval milliseconds a token, counted from the first one; 0: as fast as they are taken
 * @param id the token that it always gives
 */
export function pacedEngine(interval: number, id: number): Engine {
  let rows = 0;
  let running = 0;
  async function* generate(
    { maxNewTokens }: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<TokenEvent> {
    running++;
    const start = performance.now();
    try {
      for (let index = 0; index < maxNewTokens; index++) {
        // Timers are coarse: what came late is caught up with, so the mean is right.
        const early = start + index * interval - performance.now();
        if (early > 0) await sleep(early);
        signal?.throwIfAborted();
        rows++;
        const token = { id, logprob: -0.5, processedLogprob: -0.5, top: [], processedTop: [] };
        const isLast = index + 1 === maxNewTokens;
        yield { type: "token", ...token, ...isLast && { finish: "length" } };
      }
    } finally {
      running--;
    }
  }
  const stats = (): EngineStats => ({
    ...NO_COUNTS,
    state: "ready",
    progress: 1,
    running,
    rows,
    steps: rows,
  });
  return {
    ready: Promise.resolve(INFO),
    lost: new Promise(() => {}),
    generate,
    stats,
    drain: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
