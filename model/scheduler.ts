/**
 * Who is computed next: a row for everybody who decodes, then prompts in order of arrival, in chunks.
 *
 * Knows sequences, slots and rows. Knows no GPU: it hands out a plan and is told what was sampled,
 * so it is tested with a fake model.
 */
import type { GenerateRequest } from "./engine.ts";
import type { BlockPool, Listener, Plan, SchedulerLimits } from "./plan.ts";
import { canBeGuessed, lookUp } from "./prompt_lookup.ts";
import type { SampledRow } from "./sampler.ts";
import { Sequence } from "./sequence.ts";

/** What a sample of the plan is for. */
interface Planned {
  sequence: Sequence;
  forced: boolean;
  /** It counts only if the answer went on with this guess, and the sequence holds that many tokens. */
  after?: { guess: number; length: number };
}

/** Rows of prompts that every step may hold, so that they go on where steps are slow. */
const LEAST_CHUNK = 8;

export class Scheduler {
  /** Tokens guessed so far, and those of them that were right. */
  readonly guesses = { made: 0, right: 0 };
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  #planned: Planned[] = [];
  #freeSlots: number[];

  constructor(
    private readonly limits: SchedulerLimits,
    private readonly pool: BlockPool,
    private readonly listener: Listener,
    /** Tells milliseconds; with it, first tokens say how long they waited for their first row. */
    private readonly clock?: () => number,
  ) {
    this.#freeSlots = Array.from({ length: limits.slots }, (_, i) => limits.slots - 1 - i);
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Prompt and answer must fit an empty pool: behind one that never fits, all would wait for ever. */
  add(id: number, request: GenerateRequest): void {
    this.#waiting.push(new Sequence(id, request, this.clock));
  }

  /** Forgets a request wherever it is; its slot and blocks are free for the next step. */
  cancel(id: number): void {
    const sequence = [...this.#waiting, ...this.#running].find((one) => one.id === id);
    if (!sequence) return;
    if (sequence.slot >= 0) this.#finish(sequence);
    else this.#waiting = this.#waiting.filter((other) => other !== sequence);
  }

  /**
   * The next step, or undefined when there is nothing to do.
   *
   * @param longestChain steps that may follow it before anybody hears of its token
   * @param rowsInTime rows that a step may have while somebody waits for the next token
   */
  plan(longestChain = 0, rowsInTime = Infinity): Plan | undefined {
    const plan: Plan = { rows: [], picks: [], samples: [], chain: [], starts: [] };
    this.#planned = [];
    for (const { slot, tokens, settled } of this.#running) {
      this.pool.keep(slot, tokens, settled, true);
    }
    const { maxRows } = this.limits;
    const decoding = this.#running.filter(({ isDecoding }) => isDecoding);
    for (const sequence of decoding) this.#planRows(sequence, plan, maxRows);
    if (this.limits.guesses) decoding.forEach((sequence) => this.#planGuesses(sequence, plan));
    // A third of the step at least: where many answer, prompts would starve behind them.
    const chunk = Math.max(LEAST_CHUNK, Math.ceil(decoding.length / 2));
    const inTime = Math.max(rowsInTime, plan.rows.length + chunk);
    const most = decoding.length > 0 ? Math.min(maxRows, inTime) : maxRows;
    for (const sequence of this.#running) {
      if (!sequence.isDecoding) this.#planRows(sequence, plan, most);
    }
    this.#admit(plan, most);
    this.#planChain(plan, longestChain);
    return plan.rows.length > 0 ? plan : undefined;
  }

  /**
   * Rows for what may come next, each verified by the sample before it. They come behind the rows of
   * all who decode, and take no more room than those left.
   */
  #planGuesses(sequence: Sequence, plan: Plan): void {
    const { guesses = 0, maxRows, maxPicks } = this.limits;
    const { slot, tokens, request: { sampling, maxNewTokens }, generated, computed } = sequence;
    if (computed < tokens.length || !canBeGuessed(sampling)) return;
    const room = Math.min(maxRows - plan.rows.length, maxPicks - plan.picks.length);
    const guessed = lookUp(tokens, Math.min(guesses, room, maxNewTokens - generated - 1));
    const sample = sequence.sampleAt(tokens.length - 1)!;
    for (const [i, token] of guessed.entries()) {
      const { drawIndex, contextLength } = sample;
      plan.picks.push(plan.rows.length);
      plan.samples.push({
        ...sample,
        drawIndex: drawIndex + i + 1,
        contextLength: contextLength + i + 1,
      });
      plan.rows.push({ token, position: tokens.length + i, slot });
      const after = { guess: token, length: tokens.length + i + 1 };
      this.#planned.push({ sequence, forced: false, after });
      sequence.computed++;
    }
    this.guesses.made += guessed.length;
  }

  /** Goes on with the only sequence, as far as its answer may go. */
  #planChain(plan: Plan, longest: number): void {
    const [sequence] = this.#running;
    if (this.#running.length !== 1 || plan.rows.length !== 1) return;
    if (!sequence.isDecoding) return; // the first token is waited for
    const [sample] = plan.samples;
    const left = sequence.request.maxNewTokens - sequence.generated;
    const length = Math.min(longest, left - 1);
    for (let i = 1; i <= length; i++) {
      const { drawIndex, contextLength } = sample;
      plan.chain.push({ ...sample, drawIndex: drawIndex + i, contextLength: contextLength + i });
      this.#planned.push({ sequence, forced: false });
      sequence.computed++;
    }
  }

  /**
   * Takes what was sampled for the samples of the last plan, then for its chain, in their order. What
   * a chain computed after the end of an answer is left alone.
   */
  accept(sampled: readonly SampledRow[]): void {
    for (const [i, { sequence, forced, after }] of this.#planned.entries()) {
      // It may have been cancelled while the step ran.
      if (!this.#running.includes(sequence)) continue;
      if (after) {
        const { tokens } = sequence;
        if (tokens.length !== after.length || tokens[tokens.length - 1] !== after.guess) continue;
        this.guesses.right++;
      }
      if (sampled[i].invalid) {
        this.#finish(sequence, true);
        this.listener.onInvalid(sequence.id);
      } else if (forced) {
        sequence.addPromptToken(sampled[i]);
      } else this.#append(sequence, sampled[i]);
    }
    for (const sequence of this.#running) sequence.settle();
  }

  /**
   * First come, first served: nobody overtakes a request that does not fit yet. One begins when its
   * first rows have room, because by then the most of its prompt may be computed by others.
   *
   * Blocks for the longest answer are reserved. Falcon's are small (8 KiB a token), so that 2 GiB
   * hold 128 sequences of full length, as many as there are slots: to admit more and to take blocks
   * away from somebody later, who then computes them again, would gain next to nothing.
   */
  #admit(plan: Plan, most: number): void {
    while (this.#waiting.length > 0 && this.#freeSlots.length > 0 && plan.rows.length < most) {
      const [sequence] = this.#waiting;
      const { prompt, maxNewTokens, sampling, promptLogprobs, cacheScope = "" } = sequence.request;
      const slot = this.#freeSlots[this.#freeSlots.length - 1];
      const cached = this.pool.begin(slot, {
        prompt,
        tokens: prompt.length + maxNewTokens,
        scope: cacheScope,
        reuse: !promptLogprobs,
      });
      if (cached === undefined) break;
      this.#freeSlots.pop();
      this.#waiting.shift();
      sequence.slot = slot;
      sequence.leaveQueue();
      sequence.computed = sequence.settled = sequence.cached = cached;
      this.#running.push(sequence);
      this.listener.onBegin?.(sequence.id);
      plan.starts.push({ slot, prompt, logitBias: sampling.logitBias });
      this.#planRows(sequence, plan, most);
    }
  }

  /** Takes as many of the tokens that are known and not computed as a plan of `most` rows has room for. */
  #planRows(sequence: Sequence, plan: Plan, most: number): void {
    const { slot, tokens } = sequence;
    while (sequence.computed < tokens.length && plan.rows.length < most) {
      const position = sequence.computed;
      const sample = sequence.sampleAt(position);
      if (sample) {
        if (plan.picks.length === this.limits.maxPicks) break;
        plan.picks.push(plan.rows.length);
        plan.samples.push(sample);
        this.#planned.push({ sequence, forced: sample.forced !== undefined });
      }
      plan.rows.push({ token: tokens[position], position, slot });
      sequence.computed++;
    }
    // A step writes all keys of a layer before it reads any: whoever begins in it may share them.
    if (!sequence.isDecoding) this.pool.keep(slot, tokens, sequence.computed, false);
  }

  #append(sequence: Sequence, sampled: SampledRow): void {
    for (const event of sequence.append(sampled)) {
      if (event.type === "token" && event.finish) {
        sequence.settle();
        this.#finish(sequence);
      }
      this.listener.onEvent(sequence.id, event);
    }
  }

  #finish(sequence: Sequence, isInvalid = false): void {
    const { slot, tokens, settled } = sequence;
    this.#running = this.#running.filter((other) => other !== sequence);
    if (isInvalid) this.pool.forget(slot);
    else this.pool.keep(slot, tokens, settled, true);
    this.pool.release(slot);
    this.#freeSlots.push(slot);
  }
}
