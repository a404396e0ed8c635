/**
 * Dialogues before a router before sidecars, event by event.
 *
 * Knows how a dialogue goes on, where its turns are sent, and what a death does to them. Knows no
 * GPU's speed and no policy's reasons.
 */
import { Chance } from "./chance.ts";
import type { Policy } from "./policies.ts";
import { Sidecar, type SidecarModel, type Turn } from "./sidecar.ts";
import { Timeline } from "./timeline.ts";

/** What people do. Times in seconds, sizes in tokens. */
export interface Workload {
  /** Dialogues that begin, a second, at all sidecars together. */
  rate: number;
  /** Turns of a dialogue, answers counted. */
  turns: number;
  /** Mean time from an answer to the next turn; exponential. */
  thinkSeconds: number;
  /** What comes before the first turn. */
  openingTokens: number;
  /** Means of what is written and answered; exponential, or always the same. */
  turnTokens: number;
  answerTokens: number;
  lengths: "exponential" | "fixed";
  /** Longest prompt and answer; a dialogue whose next turn does not fit ends. */
  contextTokens: number;
}

export interface Death {
  /** When the first sidecar dies, and when it is back with an empty memory; or never. */
  at: number;
  backAt?: number | undefined;
}

export interface Options {
  sidecars: number;
  model: SidecarModel;
  workload: Workload;
  policy: Policy;
  seconds: number;
  /** Events before that fill caches and are not counted. */
  warmUpSeconds: number;
  death?: Death | undefined;
  seed: number;
}

/** A turn that was answered. */
export interface Answered extends Required<Turn> {
  finishedAt: number;
}

export interface Outcome {
  /** In the order in which they were finished, those of the warm-up left out. */
  answered: Answered[];
  /** Since the beginning: asked = finished + broken + refused + inFlight. */
  counts: {
    dialogues: number;
    asked: number;
    finished: number;
    /** Cut off by a death after the first token; their clients ask again. */
    broken: number;
    /** Asked when no sidecar lived. */
    refused: number;
    /** With a sidecar at the end. */
    inFlight: number;
    /** Moved to another sidecar by a death, before the first token. */
    retried: number;
  };
  /** Share of the time that each GPU lived after the warm-up in which it computed. */
  busy: number[];
}

interface Dialogue {
  key: string;
  chance: Chance;
  turnsLeft: number;
  /** Tokens of all that was said, and of what follows. */
  history: number;
  next: { prompt: number; answer: number };
}

/** @throws {RangeError} where a turn could not fit a sidecar that is empty */
export function simulate(options: Options): Outcome {
  const { model, workload } = options;
  if (workload.contextTokens > model.blocks * model.blockTokens) {
    throw new RangeError("The KV memory of a sidecar must hold one context of full length.");
  }
  return new Simulation(options).run();
}

class Simulation {
  readonly #timeline = new Timeline();
  readonly #sidecars: Sidecar[];
  #alive: Sidecar[];
  readonly #dialogues = new Map<string, Dialogue>();
  readonly #arrivals: Chance;
  readonly #answered: Answered[] = [];
  readonly #counts = { dialogues: 0, asked: 0, finished: 0, broken: 0, refused: 0, retried: 0 };

  constructor(private readonly options: Options) {
    this.#sidecars = Array.from(
      { length: options.sidecars },
      (_, i) =>
        new Sidecar(`http://sidecar-${i}`, options.model, this.#timeline, (t) => this.#finish(t)),
    );
    this.#alive = this.#sidecars;
    this.#arrivals = new Chance(options.seed, "arrivals");
  }

  run(): Outcome {
    const { seconds, warmUpSeconds, death } = this.options;
    this.#planArrival();
    if (death) {
      this.#timeline.plan(death.at, () => this.#kill(this.#sidecars[0]!));
      if (death.backAt !== undefined) {
        this.#timeline.plan(death.backAt, () => this.#revive(this.#sidecars[0]!));
      }
    }
    this.#timeline.runUntil(warmUpSeconds);
    const before = this.#seconds();
    this.#timeline.runUntil(seconds);
    const busy = this.#seconds().map(({ busy, alive }, i) =>
      alive === before[i]!.alive ? 0 : (busy - before[i]!.busy) / (alive - before[i]!.alive)
    );
    const inFlight = this.#sidecars.reduce((sum, { load }) => sum + load, 0);
    return { answered: this.#answered, counts: { ...this.#counts, inFlight }, busy };
  }

  #seconds(): { busy: number; alive: number }[] {
    return this.#sidecars.map((sidecar) => {
      sidecar.settle();
      return { busy: sidecar.busySeconds, alive: sidecar.aliveSeconds };
    });
  }

  #planArrival(): void {
    const { rate, turns, openingTokens } = this.options.workload;
    this.#timeline.plan(this.#timeline.now + this.#arrivals.exponential(1 / rate), () => {
      const key = `dialogue-${this.#counts.dialogues++}`;
      // Its own numbers: every policy sees the same dialogues.
      const chance = new Chance(this.options.seed, key);
      const next = this.#draw(chance, openingTokens);
      const dialogue = { key, chance, turnsLeft: turns, history: 0, next };
      if (this.#fits(dialogue)) {
        this.#dialogues.set(key, dialogue);
        this.#ask(dialogue);
      }
      this.#planArrival();
    });
  }

  #draw(chance: Chance, history: number): Dialogue["next"] {
    const { turnTokens, answerTokens, lengths } = this.options.workload;
    const length = (mean: number) =>
      lengths === "fixed" ? mean : Math.max(1, Math.round(chance.exponential(mean)));
    return { prompt: history + length(turnTokens), answer: length(answerTokens) };
  }

  #fits({ next }: Dialogue): boolean {
    return next.prompt + next.answer <= this.options.workload.contextTokens;
  }

  #ask({ key, history, next }: Dialogue): void {
    this.#counts.asked++;
    this.#send({
      key,
      promptTokens: next.prompt,
      answerTokens: next.answer,
      knownTokens: history,
      askedAt: this.#timeline.now,
      cachedTokens: 0,
    });
  }

  #send(turn: Turn): void {
    if (this.#alive.length === 0) {
      this.#counts.refused++;
      this.#dialogues.delete(turn.key);
      return;
    }
    this.options.policy(turn.key, this.#alive).ask(turn);
  }

  #finish(turn: Turn): void {
    const { now } = this.#timeline;
    this.#counts.finished++;
    if (turn.askedAt >= this.options.warmUpSeconds) {
      this.#answered.push({ ...turn, firstTokenAt: turn.firstTokenAt!, finishedAt: now });
    }
    const dialogue = this.#dialogues.get(turn.key)!;
    dialogue.history = turn.promptTokens + turn.answerTokens;
    dialogue.next = this.#draw(dialogue.chance, dialogue.history);
    if (--dialogue.turnsLeft === 0 || !this.#fits(dialogue)) {
      this.#dialogues.delete(turn.key);
      return;
    }
    const pause = dialogue.chance.exponential(this.options.workload.thinkSeconds);
    this.#timeline.plan(now + pause, () => this.#ask(dialogue));
  }

  /** The router hears of it at once. */
  #kill(sidecar: Sidecar): void {
    const lost = sidecar.die();
    this.#alive = this.#sidecars.filter(({ alive }) => alive);
    for (const turn of lost) {
      if (turn.firstTokenAt === undefined) {
        this.#counts.retried++;
        this.#send({ ...turn, cachedTokens: 0 });
      } else {
        this.#counts.broken++;
        this.#ask(this.#dialogues.get(turn.key)!);
      }
    }
  }

  #revive(sidecar: Sidecar): void {
    sidecar.revive();
    this.#alive = this.#sidecars.filter(({ alive }) => alive);
  }
}
