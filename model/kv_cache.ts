/**
 * The KV cache as a pool of blocks: who owns which block, and the block tables kernels read.
 *
 * Knows blocks and tables, and which blocks sequences share. Knows nothing of how keys and values
 * are laid out inside a block, nor of requests: a slot is a place in the table, whoever sits there.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import type { FalconConfig } from "./config.ts";
import { type PrefixBlock, PrefixCache } from "./prefix_cache.ts";
import type { Range } from "./weight_heap.ts";

/** Tokens in a block. */
export const BLOCK_TOKENS = 32;

/** Bytes of keys and values a token takes in all layers: 8 KiB for Falcon-7B. */
export function kvBytesPerToken({ layers, headDim }: FalconConfig): number {
  return layers * 2 * headDim * 2;
}

/** A sequence that is about to begin. */
export interface NewSequence {
  prompt: readonly number[];
  /** Tokens of prompt and longest answer. */
  tokens: number;
  /** Whose blocks it may use, and who may use its own. */
  scope: string;
  /** Whether it may use blocks that are there: not where every row of the prompt is wanted. */
  reuse: boolean;
}

/** What a slot holds: its blocks, the first of them as a chain that others may share. */
interface Slot {
  blocks: number[];
  scope: string;
  chain: PrefixBlock[];
}

export class KvCache {
  /** A layer's keys and values, (blocks, 2, BLOCK_TOKENS, headDim) half precision. */
  readonly layers: Range[];
  /** Whether all layers lie in one buffer, one after the other. */
  readonly together: boolean;
  /** (slots, tableWidth) block numbers. */
  readonly tables: GPUBuffer;
  /** Blocks the longest sequence may own. */
  readonly tableWidth: number;
  readonly blockTokens = BLOCK_TOKENS;
  /** Tokens of prompts that were looked for among the kept blocks, and those found. */
  prefixQueries = 0;
  prefixHits = 0;
  #gpu: Gpu;
  #free: number[];
  #slots: Slot[];
  #prefixes = new PrefixCache(BLOCK_TOKENS);

  constructor(
    gpu: Gpu,
    config: FalconConfig,
    readonly blocks: number,
    slots: number,
    maxPositions: number,
    wantsTogether = false,
  ) {
    const blockBytes = BLOCK_TOKENS * 2 * config.headDim * 2;
    this.#gpu = gpu;
    const size = blocks * blockBytes;
    this.together = wantsTogether && size * config.layers <= gpu.maxBindingBytes;
    const all = this.together ? storageBuffer(gpu, "kv", size * config.layers) : undefined;
    this.layers = Array.from({ length: config.layers }, (_, i) => ({
      buffer: all ?? storageBuffer(gpu, `kv layer ${i}`, size),
      offset: all ? i * size : 0,
      size,
    }));
    this.tableWidth = Math.ceil(maxPositions / BLOCK_TOKENS);
    this.tables = storageBuffer(gpu, "block tables", slots * this.tableWidth * 4);
    this.#free = Array.from({ length: blocks }, (_, i) => blocks - 1 - i);
    this.#slots = Array.from({ length: slots }, () => ({ blocks: [], scope: "", chain: [] }));
  }

  /** Blocks that sequences hold; those that are only kept for later are as good as free. */
  get blocksUsed(): number {
    return this.blocks - this.#available;
  }

  get #available(): number {
    return this.#free.length + this.#prefixes.unused;
  }

  /** Whether `slot` could grow to hold `tokens` tokens. */
  canHold(slot: number, tokens: number): boolean {
    return blocksFor(tokens) - this.#slots[slot].blocks.length <= this.#available;
  }

  /**
   * Gives `slot` the blocks for `tokens` tokens in all, keeping those it has.
   *
   * @throws {RangeError} when the pool or the table is too small.
   */
  grow(slot: number, tokens: number): void {
    const { blocks } = this.#slots[slot];
    const wanted = blocksFor(tokens);
    if (wanted > this.tableWidth || !this.canHold(slot, tokens)) {
      throw new RangeError(`${tokens} tokens do not fit: ${this.#available} KV blocks are free`);
    }
    const first = blocks.length;
    while (blocks.length < wanted) blocks.push(this.#free.pop() ?? this.#prefixes.evict()!);
    this.#writeTable(slot, first);
  }

  /**
   * Gives an empty slot all the blocks that its sequence may need, those that are computed first.
   *
   * @returns tokens of the prompt that need not be computed, always less than all of them; undefined
   * where the pool has not blocks enough, and nothing changed
   */
  begin(slot: number, { prompt, tokens, scope, reuse }: NewSequence): number | undefined {
    const chain = reuse ? this.#prefixes.find(scope, prompt, prompt.length - 1) : [];
    const revived = chain.filter(({ users }) => users === 0).length;
    if (blocksFor(tokens) - chain.length > this.#available - revived) return undefined;
    this.#prefixes.use(chain);
    this.#slots[slot] = { blocks: chain.map(({ block }) => block), scope, chain };
    this.#writeTable(slot, 0);
    this.grow(slot, tokens);
    const cached = chain.length * BLOCK_TOKENS;
    if (reuse) {
      this.prefixQueries += prompt.length;
      this.prefixHits += cached;
    }
    return cached;
  }

  /**
   * Lets others find the full blocks among the first `count` of the slot's tokens.
   *
   * @param settled whether they are computed, and not only planned: then a block that somebody else
   * has too is given back for that one
   */
  keep(slot: number, tokens: readonly number[], count: number, settled: boolean): void {
    const { blocks, scope, chain } = this.#slots[slot];
    while ((chain.length + 1) * BLOCK_TOKENS <= count) {
      const depth = chain.length;
      const parent = chain[depth - 1] ?? this.#prefixes.root(scope);
      const same = this.#prefixes.child(parent, tokens, depth);
      if (!same) chain.push(this.#prefixes.add(parent, tokens, depth, blocks[depth]));
      else if (!settled) return;
      else {
        this.#prefixes.use([same]);
        chain.push(same);
        this.#free.push(blocks[depth]);
        blocks[depth] = same.block;
        this.#writeTable(slot, depth, depth + 1);
      }
    }
  }

  /** Nobody will find the slot's blocks, nor what was built on them. */
  forget(slot: number): void {
    this.#prefixes.forget(this.#slots[slot].chain);
  }

  /** Takes every block of `slot` back; those that others may find are kept until blocks run out. */
  release(slot: number): void {
    const { blocks, chain } = this.#slots[slot];
    this.#free.push(...blocks.slice(chain.length).reverse());
    this.#prefixes.leave(chain);
    this.#slots[slot] = { blocks: [], scope: "", chain: [] };
  }

  #writeTable(slot: number, first: number, end?: number): void {
    const words = new Uint32Array(this.#slots[slot].blocks.slice(first, end));
    if (words.length === 0) return;
    const at = (slot * this.tableWidth + first) * 4;
    this.#gpu.device.queue.writeBuffer(this.tables, at, words);
  }
}

function blocksFor(tokens: number): number {
  return Math.ceil(tokens / BLOCK_TOKENS);
}
