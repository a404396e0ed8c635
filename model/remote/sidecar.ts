/**
 * One sidecar as an edge sees it over time: whether it takes work, how busy it is, what it counted.
 *
 * Knows health checks and when to make them. Knows no other sidecar.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError, type EngineInfo, type EngineStats } from "../engine.ts";
import { SidecarClient, SidecarError } from "./client.ts";
import type { SidecarInfo } from "./protocol.ts";

/** "unfit": it never takes work of this edge unless somebody changes something. */
export type Standing = "unknown" | "usable" | "loading" | "draining" | "down" | "unfit";

/** Milliseconds between checks of a sidecar that works, and after the first and the nth failure. */
const INTERVAL = 1000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;
const PATIENCE = 2000;

/** What only grows on a sidecar, but begins at 0 again when it does. */
const COUNTED = [
  "rows",
  "steps",
  "prefixQueries",
  "prefixHits",
  "guessesMade",
  "guessesRight",
  "cancelledQueued",
  "cancelledPrefill",
  "cancelledDecode",
  "cancelledWriting",
  "refusedFull",
  "refusedLate",
  "restarts",
] as const;

export interface SidecarOptions {
  key: string;
  /** Of the model whose tokens the edge sends. */
  fingerprint: string;
  /** Told whenever its standing may have changed. */
  onChange: () => void;
  /** Told in a sentence of what somebody should know. */
  onNote: (sentence: string) => void;
}

export class Sidecar {
  readonly client: SidecarClient;
  standing: Standing = "unknown";
  /** Why it takes no work, if it does not. */
  reason = "was not asked yet";
  /** Requests of this edge that it has now. */
  inFlight = 0;
  #others = 0;
  #failures = 0;
  #report: SidecarInfo | undefined;
  /** Counted before its last start. */
  #before = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Pick<
    EngineStats,
    typeof COUNTED[number]
  >;

  constructor(readonly url: string, private readonly options: SidecarOptions) {
    this.client = new SidecarClient(url, options.key);
  }

  /** Requests that it has: ours now, and those of others when it was last asked. */
  get load(): number {
    return this.inFlight + this.#others;
  }

  get slots(): number {
    return this.info?.slots ?? 0;
  }

  get info(): EngineInfo | null {
    return this.#report?.info ?? null;
  }

  get progress(): number {
    return this.#report?.stats.progress ?? 0;
  }

  /** Its figures when it was last asked; undefined if it never answered. */
  get stats(): EngineStats | undefined {
    const stats = this.#report?.stats;
    if (stats === undefined) return undefined;
    const gone = this.standing === "down";
    const counted = COUNTED.map((name) => [name, this.#before[name] + stats[name]]);
    return {
      ...stats,
      ...Object.fromEntries(counted),
      // What it was doing last it does not do any more.
      ...gone && { running: 0, waiting: 0, blocksUsed: 0 },
    };
  }

  /** Checks it now and again until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#check(signal);
      const wait = Math.min(FIRST_WAIT * 2 ** (this.#failures - 1), LONGEST_WAIT);
      // Edges that lost a sidecar together do not all come back to it together.
      const delay = this.#failures === 0 ? INTERVAL : wait * (0.5 + Math.random() / 2);
      await sleep(delay, undefined, { signal }).catch(() => {});
    }
  }

  /** Notes that a request failed; until the next check there are no others, if it is to blame. */
  failed(error: EngineError | SidecarError): void {
    if (error instanceof SidecarError) this.#down(error);
    else if (error.code === "draining" || error.code === "loading") this.#is(error.code);
    else if (error.code === "lost") this.#is("down", "has lost its engine");
  }

  async #check(signal: AbortSignal): Promise<void> {
    const ours = this.inFlight;
    // Not AbortSignal.any: what it makes of a signal that lives on is never freed.
    const check = new AbortController();
    const stop = () => check.abort(new SidecarError(`says nothing for ${PATIENCE / 1000} s`));
    signal.addEventListener("abort", stop);
    const timer = setTimeout(stop, PATIENCE);
    try {
      this.#take(await this.client.info(check.signal), ours);
      this.#failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      this.#failures++;
      this.#down(error as SidecarError);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #take(report: SidecarInfo, ours: number): void {
    const last = this.#report?.stats;
    if (last && report.stats.rows < last.rows) {
      for (const name of COUNTED) this.#before[name] += last[name];
    }
    this.#report = report;
    const { state, running, waiting } = report.stats;
    this.#others = Math.max(0, running + waiting - ours);
    const { fingerprint } = report;
    if (fingerprint !== null && fingerprint !== this.options.fingerprint) {
      const model = report.info?.model ?? "a model";
      this.#is(
        "unfit",
        `serves ${model} with another tokenizer or configuration than this edge has`,
      );
    } else if (state === "ready" && fingerprint !== null) this.#is("usable");
    else if (state === "loading" || state === "draining") this.#is(state);
    else this.#is("down", `says that its engine is ${state}`);
  }

  #down({ message, lasting }: SidecarError): void {
    this.#is(lasting ? "unfit" : "down", message);
  }

  #is(standing: Standing, reason = `is ${standing}`): void {
    const changed = standing !== this.standing;
    this.standing = standing;
    this.reason = reason;
    if (!changed) return;
    this.options.onNote(`${this.url} ${reason === "is usable" ? "takes requests" : reason}.`);
    this.options.onChange();
  }
}
