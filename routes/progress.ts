/**
 * How far loading is, stage by stage: a bar on a terminal, now and then a line elsewhere.
 *
 * Knows that a stage ends where the next one begins. Knows nothing of what is loaded.
 */
import { progress } from "../model/cli/progress.ts";
import { transfer } from "../model/cli/transfer.ts";

export interface LoadProgress {
  /** What is being done, in a word or two. */
  stage: string;
  done: number;
  /** In the unit of `done`. */
  total: number;
  /** For what comes over the network, in bytes: how many came until now. */
  fetched?: number;
}

export interface ProgressReport {
  update(progress: LoadProgress): void;
  /** Leaves the terminal in order, for other text to follow. */
  stop(): void;
}

interface Shown {
  update(state: LoadProgress): void;
  end(): void;
}

export function reportProgress(): ProgressReport {
  let current: { stage: string; shown: Shown } | undefined;
  function stop() {
    current?.shown.end();
    current = undefined;
  }
  return {
    update(state) {
      const { stage } = state;
      if (current?.stage !== stage) {
        stop();
        current = { stage, shown: shownFor(state) };
      }
      current.shown.update(state);
    },
    stop,
  };
}

function shownFor({ stage, total, fetched }: LoadProgress): Shown {
  if (fetched !== undefined) {
    const shown = transfer(`Downloading ${stage}`);
    return { ...shown, update: (state) => shown.update({ ...state, fetched: state.fetched ?? 0 }) };
  }
  const shown = progress(`Loading ${stage}`, total);
  return { ...shown, update: ({ done }) => shown.update(done) };
}
