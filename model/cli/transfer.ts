/**
 * How far a download has come, with speed and time left: a bar on a terminal, now and then a line
 * elsewhere.
 *
 * Knows terminals, and a speed that follows the last seconds. Knows nothing of where bytes come from.
 */
import { SingleBar } from "cli-progress";
import { formatBytes } from "../sizes.ts";

export interface TransferState {
  /** Bytes that are here. */
  done: number;
  total: number;
  /** Bytes that came until now; what was here before is not among them. */
  fetched: number;
}

export interface Transfer {
  update(state: TransferState): void;
  /** Leaves the terminal in order, for other text to follow. */
  end(): void;
}

/** Seconds that the speed is taken over. */
const WINDOW = 10;
/** A log gets a line at every tenth, or after this many seconds. */
const LINE_SECONDS = 60;
/** A bar is drawn this often, in seconds. */
const DRAW_SECONDS = 0.1;

/** Bytes a second over the last seconds. */
export class Speed {
  #samples: { seconds: number; bytes: number }[] = [];

  /** @returns bytes a second; undefined before there is anything to tell from */
  update(bytes: number, seconds: number): number | undefined {
    this.#samples.push({ seconds, bytes });
    while (this.#samples.length > 2 && this.#samples[1]!.seconds <= seconds - WINDOW) {
      this.#samples.shift();
    }
    const [first] = this.#samples;
    const passed = seconds - first!.seconds;
    return passed >= 0.5 ? (bytes - first!.bytes) / passed : undefined;
  }
}

/** @param label what is fetched, in a few words */
export function transfer(label: string): Transfer {
  return Deno.stderr.isTerminal() ? bar(label) : lines(label);
}

/** "1.62 GB of 4.04 GB, 35.20 MB/s, 1 min 9 s left" */
export function describe({ done, total }: TransferState, speed: number | undefined): string {
  const parts = [`${formatBytes(done)} of ${formatBytes(total)}`];
  if (speed !== undefined && done < total) {
    parts.push(`${formatBytes(Math.round(speed))}/s`);
    if (speed > 0) parts.push(`${formatSeconds((total - done) / speed)} left`);
  }
  return parts.join(", ");
}

export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}

/** Calls `show` with the state and speed, no more often than every `seconds`. */
function paced(
  seconds: number,
  show: (state: TransferState, speed: number | undefined) => void,
): (state: TransferState) => void {
  const speed = new Speed();
  let last = -Infinity;
  return (state) => {
    const now = performance.now() / 1000;
    if (now - last < seconds && state.done < state.total) return;
    last = now;
    show(state, speed.update(state.fetched, now));
  };
}

/** What we use of the bar; the package brings no types. */
interface Bar {
  start(total: number, done: number, payload: object): void;
  update(done: number, payload: object): void;
  setTotal(total: number): void;
  stop(): void;
}

function bar(label: string): Transfer {
  let shown: Bar | undefined;
  return {
    update: paced(DRAW_SECONDS, (state, speed) => {
      const payload = { state: describe(state, speed) };
      if (shown === undefined) {
        shown = new SingleBar({
          format: `${label} {bar} {percentage} %  {state}`,
          barsize: 20,
          barCompleteChar: "█",
          barIncompleteChar: "░",
          forceRedraw: true,
        }) as Bar;
        shown.start(state.total, state.done, payload);
      }
      shown.update(state.done, payload);
    }),
    end: () => shown?.stop(),
  };
}

function lines(label: string): Transfer {
  let tenths = -1, last = 0;
  return {
    update: paced(0.5, (state, speed) => {
      const reached = state.total > 0 ? Math.floor(10 * state.done / state.total) : 10;
      const now = performance.now() / 1000;
      if (reached <= tenths && now - last < LINE_SECONDS) return;
      tenths = Math.max(tenths, reached);
      last = now;
      const percent = state.total > 0 ? Math.floor(100 * state.done / state.total) : 100;
      console.error(`${label}: ${percent} %, ${describe(state, speed)}`);
    }),
    end() {},
  };
}

/** Calls `print` with plain numbers, at most once a second. */
export function progressEvents(
  print: (event: Record<string, unknown>) => void,
): (state: TransferState & { file: string }) => void {
  let file = "";
  const show = paced(1, ({ done, total, fetched }, speed) =>
    print({
      event: "progress",
      file,
      done,
      total,
      fetched,
      bytes_per_second: speed === undefined ? null : Math.round(speed),
      seconds_left: speed ? Math.ceil((total - done) / speed) : null,
    }));
  return (state) => {
    file = state.file;
    show(state);
  };
}
