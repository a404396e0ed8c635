/**
 * The real KV cache on a GPU that only remembers block tables, over a memory that holds tokens.
 *
 * Knows what a block may hold when it is read: the tokens of its own sequence, each written behind
 * the very tokens that stand before it. Knows nothing of how blocks are shared.
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import type { FalconConfig } from "../../model/config.ts";
import { BLOCK_TOKENS, KvCache } from "../../model/kv_cache.ts";
import type { TestPool } from "./fake_model.ts";

/** What lies at one place of one block. */
interface Cell {
  token: number;
  position: number;
  /** Stands for it and all before it: keys and values depend on those. */
  context: number;
}

/** As much of a GPU as block tables need. */
class TableGpu {
  readonly maxBindingBytes = Infinity;
  readonly device = {
    queue: {
      writeBuffer: (words: Uint32Array, at: number, data: Uint32Array) => words.set(data, at / 4),
    },
  };

  createBuffer(_label: string, bytes: number): Uint32Array {
    return new Uint32Array(bytes / 4);
  }
}

const CONFIG = { layers: 1, headDim: 2 } as FalconConfig;

export class PagedPool extends KvCache implements TestPool {
  readonly #cells = new Map<number, Cell>();

  constructor(blocks: number, slots: number) {
    super(new TableGpu() as unknown as Gpu, CONFIG, blocks, slots, blocks * BLOCK_TOKENS);
  }

  get used(): number {
    return this.blocksUsed;
  }

  write(slot: number, position: number, token: number): void {
    const context = extend(this.#contextBefore(slot, position), token);
    this.#cells.set(this.#place(slot, position), { token, position, context });
  }

  read(slot: number, position: number): number[] {
    const tokens: number[] = [];
    for (let at = position; at >= 0; at--) {
      const { token, context } = this.#at(slot, at);
      const expected = extend(this.#contextBefore(slot, at), token);
      assert.equal(context, expected, "a block was computed behind other tokens");
      tokens.unshift(token);
    }
    return tokens;
  }

  #contextBefore(slot: number, position: number): number {
    return position === 0 ? 0 : this.#at(slot, position - 1).context;
  }

  #at(slot: number, position: number): Cell {
    const cell = this.#cells.get(this.#place(slot, position));
    assert(cell, `nothing was computed at ${position}`);
    assert.equal(cell.position, position, "a block was taken from somewhere else");
    return cell;
  }

  #place(slot: number, position: number): number {
    const words = this.tables as unknown as Uint32Array;
    const block = words[slot * this.tableWidth + Math.floor(position / BLOCK_TOKENS)]!;
    assert(block < this.blocks);
    return block * BLOCK_TOKENS + position % BLOCK_TOKENS;
  }
}

function extend(context: number, token: number): number {
  return (context * 31 + token + 1) % 1_000_003;
}
