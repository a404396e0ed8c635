/**
 * How far something long has come, on standard error.
 *
 * Knows terminals: a bar there, a line every tenth part elsewhere (in a log, say). Knows nothing of
 * what takes so long.
 */
import { SingleBar } from "cli-progress";

export interface Progress {
  /** What is done so far, in the unit of the total; never goes back. */
  update(done: number): void;
  /** Leaves the bar as it stands. */
  end(): void;
}

/** What we use of the bar; the package brings no types. */
interface Bar {
  start(total: number, done: number): void;
  update(done: number): void;
  stop(): void;
}

/**
 * Call `end` whatever happens: a bar left alone keeps the process alive and the terminal odd.
 *
 * @param label what is done, in a few words
 * @param total of the unit that `update` counts in
 */
export function progress(label: string, total: number): Progress {
  return Deno.stderr.isTerminal() ? bar(label, total) : lines(label, total);
}

function bar(label: string, total: number): Progress {
  const shown: Bar = new SingleBar({
    format: `${label} {bar} {percentage} % {duration_formatted}`,
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
  });
  shown.start(total, 0);
  return { update: (done) => shown.update(done), end: () => shown.stop() };
}

function lines(label: string, total: number): Progress {
  let tenths = 0;
  return {
    update(done) {
      const reached = total > 0 ? Math.floor(10 * done / total) : 10;
      if (reached <= tenths) return;
      tenths = reached;
      console.error(`${label}: ${10 * tenths} %`);
    },
    end() {},
  };
}
