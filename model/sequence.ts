/**
 * One request on its way: its tokens, how many of them are computed, what is to be sampled where.
 *
 * Knows nothing of other sequences, and takes no decision.
 */
import type { GenerateRequest, TokenEvent, TokenLogprob } from "./engine.ts";
import type { SampleRow } from "./sample_row.ts";
import type { SampledRow } from "./sampler.ts";

export class Sequence {
  /** Place in the block tables once it runs. */
  slot = -1;
  /** Tokens whose keys and values are in the cache, or will be after the step that is planned. */
  computed = 0;
  /** Of the known ones, those that were computed by steps that are over. */
  settled = 0;
  /** Tokens of the prompt that were there already. */
  cached = 0;
  /** Prompt and answer, as far as they are known. */
  readonly tokens: number[];
  // Nothing comes before the first token.
  readonly #promptLogprobs: (number | null)[] = [null];
  readonly #promptTop: TokenLogprob[][] = [[]];

  readonly #added: number | undefined;
  #queuedSeconds: number | undefined;

  /** @param clock tells milliseconds; without one, nobody hears how long it waited */
  constructor(
    readonly id: number,
    readonly request: GenerateRequest,
    private readonly clock?: () => number,
  ) {
    this.tokens = [...request.prompt];
    this.#added = clock?.();
  }

  /** Its first rows are about to be computed. */
  leaveQueue(): void {
    if (this.clock && this.#added !== undefined) {
      this.#queuedSeconds = (this.clock() - this.#added) / 1000;
    }
  }

  /** Tokens of the answer so far. */
  get generated(): number {
    return this.tokens.length - this.request.prompt.length;
  }

  get isDecoding(): boolean {
    return this.generated > 0;
  }

  /** What to do with the logits at a position, if anything: `forced` looks up the next of the prompt. */
  sampleAt(position: number): SampleRow | undefined {
    const { slot, request: { prompt, sampling, topTokens, promptLogprobs }, tokens } = this;
    const isLast = position === tokens.length - 1;
    if (!isLast && !(promptLogprobs && position < prompt.length - 1)) return undefined;
    return {
      slot,
      sampling,
      drawIndex: this.generated,
      contextLength: tokens.length,
      topTokens,
      ...(!isLast && { forced: tokens[position + 1] }),
    };
  }

  /** All that was planned is computed; of an answer, what was guessed wrong is computed again. */
  settle(): void {
    if (this.isDecoding) this.computed = Math.min(this.computed, this.tokens.length - 1);
    this.settled = this.computed;
  }

  addPromptToken({ logprob, top }: SampledRow): void {
    this.#promptLogprobs.push(logprob);
    this.#promptTop.push(top);
  }

  /** Takes the next token of the answer; what there is to tell of it. */
  append(sampled: SampledRow): TokenEvent[] {
    const { request, tokens, cached } = this;
    const isFirst = !this.isDecoding;
    tokens.push(sampled.id);
    const { id, logprob, processedLogprob, top, processedTop } = sampled;
    const event: TokenEvent = { type: "token", id, logprob, processedLogprob, top, processedTop };
    if (isFirst && cached > 0) event.cachedTokens = cached;
    if (isFirst && this.#queuedSeconds !== undefined) event.queuedSeconds = this.#queuedSeconds;
    if (this.generated >= request.maxNewTokens) event.finish = "length";
    else if (request.stopTokens.includes(id)) event.finish = "stop_token";
    if (!isFirst || !request.promptLogprobs) return [event];
    return [{ type: "prompt", logprobs: this.#promptLogprobs, top: this.#promptTop }, event];
  }
}
