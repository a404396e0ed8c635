/**
 * Who is computed next: requests in order of arrival, each first prefilled in chunks, then decoded.
 *
 * Knows sequences, slots and rows. Knows no GPU: it hands out a plan and is told what was sampled,
 * so it is tested with a fake model.
 */
import type { GenerateRequest, LogitBias, TokenEvent, TokenLogprob } from "./engine.ts";
import type { SampleRow } from "./sample_row.ts";
import type { SampledRow } from "./sampler.ts";
import type { Row } from "./state.ts";

/** One request on its way. */
interface Sequence {
  id: number;
  request: GenerateRequest;
  /** Place in the block tables once it runs. */
  slot: number;
  /** Tokens whose keys and values are in the cache, or will be after the step that is planned. */
  computed: number;
  generated: number[];
  promptLogprobs: (number | null)[];
  promptTop: TokenLogprob[][];
}

/** One step: the rows to compute, and for some of them a token to sample. */
export interface Plan {
  rows: Row[];
  /** Rows whose logits are wanted; `samples[i]` says what to do with those of `picks[i]`. */
  picks: number[];
  samples: SampleRow[];
  /**
   * Steps that follow at once, each with the token that the one before chose: only where the step
   * is the one row of one sequence that decodes.
   */
  chain: SampleRow[];
  /** Sequences that start in this step: their slot remembers something else. */
  starts: { slot: number; prompt: readonly number[]; logitBias: readonly LogitBias[] }[];
}

export interface SchedulerLimits {
  /** Sequences computed together. */
  slots: number;
  /** Rows of one step. */
  maxRows: number;
  /** Rows of one step that may ask for logits. */
  maxPicks: number;
}

/** Where sequences keep their keys and values; `KvCache` is one. */
export interface BlockPool {
  canHold(slot: number, tokens: number): boolean;
  grow(slot: number, tokens: number): void;
  release(slot: number): void;
}

/** Is told what becomes of requests. */
export interface Listener {
  onEvent(id: number, event: TokenEvent): void;
  /** The request is over: the model's numbers for it meant nothing (NaN, say). */
  onInvalid(id: number): void;
}

export class Scheduler {
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  #planned: { sequence: Sequence; forced: boolean }[] = [];
  #freeSlots: number[];

  constructor(
    private readonly limits: SchedulerLimits,
    private readonly pool: BlockPool,
    private readonly listener: Listener,
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
    this.#waiting.push({
      id,
      request,
      slot: -1,
      computed: 0,
      generated: [],
      // Nothing comes before the first token.
      promptLogprobs: [null],
      promptTop: [[]],
    });
  }

  /** Forgets a request wherever it is; its slot and blocks are free for the next step. */
  cancel(id: number): void {
    this.#waiting = this.#waiting.filter((sequence) => sequence.id !== id);
    const running = this.#running.find((sequence) => sequence.id === id);
    if (running) this.#finish(running);
  }

  /**
   * The next step, or undefined when there is nothing to do.
   *
   * @param longestChain steps that may follow it before anybody hears of its token
   */
  plan(longestChain = 0): Plan | undefined {
    const plan: Plan = { rows: [], picks: [], samples: [], chain: [], starts: this.#admit() };
    this.#planned = [];
    for (const sequence of this.#running) this.#planRows(sequence, plan);
    this.#planChain(plan, longestChain);
    return plan.rows.length > 0 ? plan : undefined;
  }

  /** Goes on with the only sequence, as far as its answer may go. */
  #planChain(plan: Plan, longest: number): void {
    const [sequence] = this.#running;
    if (this.#running.length !== 1 || plan.rows.length !== 1) return;
    const { request, generated } = sequence;
    if (generated.length === 0) return; // the first token is waited for
    const [sample] = plan.samples;
    const length = Math.min(longest, request.maxNewTokens - generated.length - 1);
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
    for (const [i, { sequence, forced }] of this.#planned.entries()) {
      // It may have been cancelled while the step ran.
      if (!this.#running.includes(sequence)) continue;
      if (sampled[i].invalid) {
        this.#finish(sequence);
        this.listener.onInvalid(sequence.id);
      } else if (forced) {
        sequence.promptLogprobs.push(sampled[i].logprob);
        sequence.promptTop.push(sampled[i].top);
      } else this.#append(sequence, sampled[i]);
    }
  }

  /** First come, first served: nobody overtakes a request that does not fit yet. */
  #admit(): Plan["starts"] {
    const starts: Plan["starts"] = [];
    while (this.#waiting.length > 0 && this.#freeSlots.length > 0) {
      const [sequence] = this.#waiting;
      const { prompt, maxNewTokens, sampling: { logitBias } } = sequence.request;
      const slot = this.#freeSlots[this.#freeSlots.length - 1];
      const worstCase = prompt.length + maxNewTokens;
      if (!this.pool.canHold(slot, worstCase)) break;
      this.pool.grow(slot, worstCase);
      this.#freeSlots.pop();
      this.#waiting.shift();
      sequence.slot = slot;
      this.#running.push(sequence);
      starts.push({ slot, prompt, logitBias });
    }
    return starts;
  }

  /** Takes as many of the tokens that are known and not computed as there is room for. */
  #planRows(sequence: Sequence, plan: Plan): void {
    const { request, slot, generated } = sequence;
    const { prompt } = request;
    const { maxRows, maxPicks } = this.limits;
    const known = prompt.length + generated.length;
    while (sequence.computed < known && plan.rows.length < maxRows) {
      const position = sequence.computed;
      const isLast = position === known - 1;
      if (isLast || (request.promptLogprobs && position < prompt.length - 1)) {
        if (plan.picks.length === maxPicks) return;
        plan.picks.push(plan.rows.length);
        plan.samples.push({
          slot,
          sampling: request.sampling,
          drawIndex: generated.length,
          contextLength: known,
          topTokens: request.topTokens,
          ...(!isLast && { forced: prompt[position + 1] }),
        });
        this.#planned.push({ sequence, forced: !isLast });
      }
      const token = position < prompt.length
        ? prompt[position]
        : generated[position - prompt.length];
      plan.rows.push({ token, position, slot });
      sequence.computed++;
    }
  }

  #append(sequence: Sequence, sampled: SampledRow): void {
    const { id, request, generated, promptLogprobs, promptTop } = sequence;
    if (request.promptLogprobs && generated.length === 0) {
      this.listener.onEvent(id, { type: "prompt", logprobs: promptLogprobs, top: promptTop });
    }
    generated.push(sampled.id);
    const { logprob, processedLogprob, top, processedTop } = sampled;
    const event: TokenEvent = {
      type: "token",
      id: sampled.id,
      logprob,
      processedLogprob,
      top,
      processedTop,
    };
    if (generated.length >= request.maxNewTokens) event.finish = "length";
    else if (request.stopTokens.includes(sampled.id)) event.finish = "stop_token";
    if (event.finish) this.#finish(sequence);
    this.listener.onEvent(id, event);
  }

  #finish(sequence: Sequence): void {
    this.#running = this.#running.filter((other) => other !== sequence);
    this.pool.release(sequence.slot);
    this.#freeSlots.push(sequence.slot);
  }
}
