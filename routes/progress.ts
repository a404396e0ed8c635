/**
 * How far loading is, stage by stage: a bar on a terminal, now and then a line elsewhere.
 *
 * Knows that a stage ends where the next one begins. Knows nothing of what is loaded.
 */
import { type Progress, progress } from "../model/cli/progress.ts";

export interface LoadProgress {
  /** What is being done, in a word or two. */
  stage: string;
  done: number;
  /** In the unit of `done`. */
  total: number;
}

export interface ProgressReport {
  update(progress: LoadProgress): void;
  /** Leaves the terminal in order, for other text to follow. */
  stop(): void;
}

export function reportProgress(): ProgressReport {
  let current: { stage: string; shown: Progress } | undefined;
  function stop() {
    current?.shown.end();
    current = undefined;
  }
  return {
    update({ stage, done, total }) {
      if (current?.stage !== stage) {
        stop();
        current = { stage, shown: progress(`Loading ${stage}`, total) };
      }
      current.shown.update(done);
    },
    stop,
  };
}
