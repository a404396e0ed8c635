/**
 * One sidecar: a queue, a GPU and its KV memory.
 *
 * Knows who is computed when: first come, first served, as many at once as there are slots and
 * memory; prompts one after the other, answers together, all at one pace. Between two events nothing
 * is stepped through: a pace and a time say where each answer is. Knows no other sidecar, and no
 * dialogue but by its key.
 */
import { PrefixCache } from "./prefix_cache.ts";
import type { Timeline } from "./timeline.ts";

/** One turn on its way through the router. */
export interface Turn {
  /** The dialogue's. */
  readonly key: string;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Tokens of the prompt that an earlier turn's prompt and answer had. */
  readonly knownTokens: number;
  readonly askedAt: number;
  /** Tokens whose keys and values were there; known once it is computed. */
  cachedTokens: number;
  firstTokenAt?: number;
}

export interface SidecarModel {
  slots: number;
  blocks: number;
  blockTokens: number;
  /** Tokens a second of a prompt of which so many are not cached, while nobody decodes. */
  prefillRate(tokens: number): number;
  /** Tokens a second of so many sequences that decode together, while there is no prompt. */
  decodeRate(sequences: number): number;
  /** Both at once. */
  mixed(sequences: number): Speeds;
}

/** Tokens a second. */
export interface Speeds {
  /** Of each answer. */
  answer: number;
  /** Of the prompt that is computed. */
  prompt: number;
}

/** A turn whose answer is computed, and where the pace must be for its last token. */
interface Answer {
  turn: Turn;
  endsAt: number;
}

export class Sidecar {
  alive = true;
  /** Seconds that it lived, and of them those in which the GPU computed. */
  aliveSeconds = 0;
  busySeconds = 0;
  #waiting: Turn[] = [];
  #prompts: Turn[] = [];
  #answers: Answer[] = [];
  readonly #reserved = new Map<Turn, number>();
  #cache: PrefixCache;
  /** Tokens that one who answered from the beginning would have. */
  #pace = 0;
  /** When pace and busy time were last brought up to date. */
  #seenAt = 0;
  /** Tokens of the first prompt that are to be computed, and those of them that are not yet. */
  #promptTokens = 0;
  #promptLeft = 0;
  /** Counts changes, so that what was planned before one is known to be void. */
  #version = 0;

  constructor(
    readonly url: string,
    private readonly model: SidecarModel,
    private readonly timeline: Timeline,
    private readonly onFinished: (turn: Turn) => void,
  ) {
    this.#cache = new PrefixCache(model.blocks);
  }

  /** Turns that wait or are computed. */
  get load(): number {
    return this.#waiting.length + this.#reserved.size;
  }

  /** Takes a turn, which fits an empty memory. */
  ask(turn: Turn): void {
    this.#waiting.push(turn);
    this.#change();
  }

  /** Loses all: its turns, for the router to see to, and its memory. */
  die(): Turn[] {
    this.settle();
    const lost = [...this.#reserved.keys(), ...this.#waiting];
    this.alive = false;
    this.#waiting = [];
    this.#prompts = [];
    this.#answers = [];
    this.#reserved.clear();
    this.#cache = new PrefixCache(this.model.blocks);
    this.#version++;
    return lost;
  }

  /** Is back, and remembers nothing. */
  revive(): void {
    this.alive = true;
    this.#seenAt = this.timeline.now;
  }

  /** Brings its seconds up to now. */
  settle(): void {
    if (!this.alive) return;
    const passed = this.timeline.now - this.#seenAt;
    this.#seenAt = this.timeline.now;
    this.aliveSeconds += passed;
    if (passed === 0) return;
    if (this.#reserved.size > 0) this.busySeconds += passed;
    const { answer, prompt } = this.#speeds();
    this.#pace += passed * answer;
    this.#promptLeft -= passed * prompt;
  }

  #speeds(): Speeds {
    const sequences = this.#answers.length;
    if (this.#prompts.length === 0) {
      const answer = sequences === 0 ? 0 : this.model.decodeRate(sequences) / sequences;
      return { answer, prompt: 0 };
    }
    const alone = this.model.prefillRate(this.#promptTokens);
    if (sequences === 0) return { answer: 0, prompt: alone };
    const { answer, prompt } = this.model.mixed(sequences);
    return { answer, prompt: Math.min(prompt, alone) };
  }

  /** Something is otherwise from now on: who fits is let in, and the next event is planned. */
  #change(): void {
    this.settle();
    this.#admit();
    const version = ++this.#version;
    if (this.#reserved.size === 0) return;
    const { answer, prompt } = this.#speeds();
    const promptIn = this.#prompts.length === 0 ? Infinity : this.#promptLeft / prompt;
    const [first] = this.#answers;
    const answerIn = first && answer > 0 ? (first.endsAt - this.#pace) / answer : Infinity;
    const at = this.timeline.now + Math.max(0, Math.min(promptIn, answerIn));
    this.timeline.plan(at, () => {
      if (version !== this.#version) return;
      this.settle();
      if (promptIn <= answerIn) this.#endPrompt();
      else this.#endAnswer();
      this.#change();
    });
  }

  #endPrompt(): void {
    this.#answer(this.#prompts.shift()!);
    if (this.#prompts.length > 0) this.#beginPrompt();
  }

  #endAnswer(): void {
    const { turn, endsAt } = this.#answers.shift()!;
    this.#pace = endsAt;
    this.#finish(turn);
  }

  /** The step that ends a prompt chooses the first token; the others follow. */
  #answer(turn: Turn): void {
    turn.firstTokenAt = this.timeline.now;
    if (turn.answerTokens === 1) return this.#finish(turn);
    const endsAt = this.#pace + turn.answerTokens - 1;
    const after = this.#answers.findIndex((answer) => answer.endsAt > endsAt);
    this.#answers.splice(after === -1 ? this.#answers.length : after, 0, { turn, endsAt });
  }

  #finish(turn: Turn): void {
    const { key, promptTokens, answerTokens } = turn;
    const kept = Math.floor((promptTokens + answerTokens) / this.model.blockTokens);
    this.#cache.leave(key, this.#reserved.get(turn)!, kept);
    this.#reserved.delete(turn);
    this.onFinished(turn);
  }

  /** Nobody overtakes a turn that does not fit yet. */
  #admit(): void {
    const { slots, blockTokens } = this.model;
    while (this.#waiting.length > 0 && this.#reserved.size < slots) {
      const [turn] = this.#waiting as [Turn];
      const blocks = Math.ceil((turn.promptTokens + turn.answerTokens) / blockTokens);
      const held = this.#cache.take(turn.key, blocks);
      if (held === undefined) return;
      this.#waiting.shift();
      this.#reserved.set(turn, blocks);
      // The last token is computed in any case: the first of the answer follows from it.
      turn.cachedTokens = Math.min(held * blockTokens, turn.knownTokens, turn.promptTokens - 1);
      this.#prompts.push(turn);
      if (this.#prompts.length === 1) this.#beginPrompt();
    }
  }

  #beginPrompt(): void {
    const { promptTokens, cachedTokens } = this.#prompts[0]!;
    this.#promptTokens = this.#promptLeft = promptTokens - cachedTokens;
  }
}
