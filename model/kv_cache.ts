/**
 * The KV cache as a pool of blocks: who owns which block, and the block tables kernels read.
 *
 * Knows blocks and tables. Knows nothing of how keys and values are laid out inside a block, nor
 * of requests: a slot is a place in the table, whoever sits there.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import type { FalconConfig } from "./config.ts";
import type { Range } from "./weight_heap.ts";

/** Tokens in a block. */
export const BLOCK_TOKENS = 32;

/** Bytes of keys and values a token takes in all layers: 8 KiB for Falcon-7B. */
export function kvBytesPerToken({ layers, headDim }: FalconConfig): number {
  return layers * 2 * headDim * 2;
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
  #gpu: Gpu;
  #free: number[];
  #owned: number[][];

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
    this.#owned = Array.from({ length: slots }, () => []);
  }

  get blocksUsed(): number {
    return this.blocks - this.#free.length;
  }

  /** Whether `slot` could grow to hold `tokens` tokens. */
  canHold(slot: number, tokens: number): boolean {
    const missing = Math.ceil(tokens / BLOCK_TOKENS) - this.#owned[slot].length;
    return missing <= this.#free.length;
  }

  /**
   * Gives `slot` the blocks for `tokens` tokens in all, keeping those it has.
   *
   * @throws {RangeError} when the pool or the table is too small.
   */
  grow(slot: number, tokens: number): void {
    const owned = this.#owned[slot];
    const wanted = Math.ceil(tokens / BLOCK_TOKENS);
    if (wanted > this.tableWidth || !this.canHold(slot, tokens)) {
      throw new RangeError(`${tokens} tokens do not fit: ${this.#free.length} KV blocks are free`);
    }
    if (wanted <= owned.length) return;
    const first = owned.length;
    while (owned.length < wanted) owned.push(this.#free.pop()!);
    const added = new Uint32Array(owned.slice(first));
    const at = (slot * this.tableWidth + first) * 4;
    this.#gpu.device.queue.writeBuffer(this.tables, at, added);
  }

  /** Takes every block of `slot` back. */
  release(slot: number): void {
    this.#free.push(...this.#owned[slot].reverse());
    this.#owned[slot] = [];
  }
}
