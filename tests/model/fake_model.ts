/**
 * A model without a GPU, for the scheduler: it computes plans and finds fault with impossible ones.
 *
 * Knows what a step may hold and what a cache and a pool of blocks must see. Its next token is a
 * hash of all tokens before, so that an answer tells whether the right rows were computed; what any
 * request must get is worked out here from the request alone.
 */
import assert from "node:assert/strict";
import { type GenerateRequest, GREEDY, type TokenEvent } from "../../model/engine.ts";
import type { NewSequence } from "../../model/kv_cache.ts";
import type { SampledRow } from "../../model/sampler.ts";
import type { BlockPool, Plan, SchedulerLimits } from "../../model/plan.ts";
import { Scheduler } from "../../model/scheduler.ts";

export const VOCAB = 50;
/** Prompts that hold this token make logits that are no distribution. */
export const POISON = 666;

export function request(changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    prompt: [1, 2, 3],
    maxNewTokens: 4,
    sampling: GREEDY,
    stopTokens: [],
    topTokens: 0,
    promptLogprobs: false,
    ...changes,
  };
}

/** The token after `tokens`, and a number that stands for its log-probability. */
function next(tokens: readonly number[]): { id: number; logprob: number } {
  const hash = tokens.reduce((sum, token, i) => (sum * 31 + token * (i + 7)) % 100_003, 17);
  return { id: hash % VOCAB, logprob: -hash };
}

/** What stands for the log-probability of a prompt's token after `tokens`. */
function forcedLogprob(tokens: readonly number[], forced: number): number {
  return next(tokens).logprob - forced / 1000;
}

/** Every event that `request` must get when nobody cancels it. */
export function expectedEvents(request: GenerateRequest): TokenEvent[] {
  const { prompt, maxNewTokens, stopTokens, promptLogprobs } = request;
  const events: TokenEvent[] = [];
  if (promptLogprobs) {
    const logprobs = prompt.map((token, i) =>
      i === 0 ? null : forcedLogprob(prompt.slice(0, i), token)
    );
    events.push({ type: "prompt", logprobs, top: prompt.map(() => []) });
  }
  const tokens = [...prompt];
  for (let n = 1; n <= maxNewTokens; n++) {
    const { id, logprob } = next(tokens);
    tokens.push(id);
    const event: TokenEvent = { type: "token", ...sampledAs(id, logprob) };
    if (n === maxNewTokens) event.finish = "length";
    else if (stopTokens.includes(id)) event.finish = "stop_token";
    events.push(event);
    if (event.finish) break;
  }
  return events;
}

function sampledAs(id: number, logprob: number) {
  return { id, logprob, processedLogprob: logprob / 2, top: [], processedTop: [] };
}

/** A pool as tests need it. */
export interface TestPool extends BlockPool {
  readonly used: number;
  /** Puts a token where the slot keeps its keys and values; nobody may have forgotten a block. */
  write(slot: number, position: number, token: number): void;
  /** All tokens up to a position, as the slot's blocks hold them. */
  read(slot: number, position: number): number[];
}

/** A pool that nobody may overdraw, that wants back exactly what it gave, and that shares nothing. */
export class FakePool implements TestPool {
  used = 0;
  readonly #held = new Map<number, { tokens: number; cache: number[] }>();

  constructor(readonly tokens: number) {}

  begin(slot: number, { tokens }: NewSequence): number | undefined {
    assert(!this.#held.has(slot), `slot ${slot} is taken`);
    if (tokens > this.tokens - this.used) return undefined;
    this.#held.set(slot, { tokens, cache: [] });
    this.used += tokens;
    return 0;
  }

  keep(): void {}

  forget(): void {}

  release(slot: number): void {
    assert(this.#held.has(slot), `slot ${slot} is released but not held`);
    this.used -= this.#held.get(slot)!.tokens;
    this.#held.delete(slot);
  }

  write(slot: number, position: number, token: number): void {
    const { tokens, cache } = this.#held.get(slot)!;
    assert.equal(position, cache.length, "a position was left out, or computed twice");
    assert(position < tokens, "a row has no block");
    cache.push(token);
  }

  read(slot: number, position: number): number[] {
    return this.#held.get(slot)!.cache.slice(0, position + 1);
  }
}

/** A scheduler with a fake model behind it, and what was heard of each request. */
export class FakeModel {
  readonly pool: TestPool;
  readonly scheduler: Scheduler;
  readonly heard = new Map<number, TokenEvent[]>();
  readonly invalid: number[] = [];
  /** Prompts in the order in which they were begun. */
  readonly begun: (readonly number[])[] = [];
  /** Rows of each step. */
  readonly steps: number[] = [];

  constructor(readonly limits: SchedulerLimits, pool: number | TestPool) {
    this.pool = typeof pool === "number" ? new FakePool(pool) : pool;
    this.scheduler = new Scheduler(limits, this.pool, {
      onEvent: (id, event) => {
        const events = this.heard.get(id) ?? [];
        this.heard.set(id, [...events, event]);
      },
      onInvalid: (id) => this.invalid.push(id),
    });
  }

  /** Computes a plan. @throws for rows or samples that no model could compute */
  compute({ rows, picks, samples, starts }: Plan): SampledRow[] {
    const { maxRows, maxPicks, slots } = this.limits;
    assert(rows.length > 0 && rows.length <= maxRows, `${rows.length} rows of ${maxRows}`);
    assert(picks.length <= maxPicks, `${picks.length} picks of ${maxPicks}`);
    assert.equal(samples.length, picks.length);
    for (const { prompt } of starts) this.begun.push(prompt);
    for (const { token, position, slot } of rows) {
      assert(slot >= 0 && slot < slots, `slot ${slot}`);
      this.pool.write(slot, position, token);
    }
    this.steps.push(rows.length);
    return samples.map((sample, i) => {
      const { slot, position } = rows[picks[i]!]!;
      assert.equal(sample.slot, slot);
      const tokens = this.pool.read(slot, position);
      const { id, logprob } = next(tokens);
      const invalid = tokens.includes(POISON);
      return sample.forced === undefined
        ? { ...sampledAs(id, logprob), invalid }
        : { ...sampledAs(sample.forced, forcedLogprob(tokens, sample.forced)), invalid };
    });
  }

  /** Plans, computes and accepts one step; false when there was nothing to do. */
  step(rowsInTime = Infinity): boolean {
    const plan = this.scheduler.plan(0, rowsInTime);
    if (plan) this.scheduler.accept(this.compute(plan));
    return plan !== undefined;
  }

  /** Steps until nothing is left. @throws when the scheduler stops before that */
  finish(): void {
    while (this.scheduler.running + this.scheduler.waiting > 0) {
      assert(this.step(), "requests are left and nothing is planned");
    }
    assert(!this.step(), "nothing is left and something is planned");
    assert.equal(this.pool.used, 0, "a block leaked");
  }
}
