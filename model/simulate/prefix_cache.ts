/**
 * The KV memory of one sidecar: blocks that turns need, and blocks that finished turns left behind.
 *
 * Knows how many blocks each dialogue has there. What was left longest ago is taken first, from the
 * end of a dialogue, so that the rest is still its beginning. Knows no time. Dialogues share no
 * beginning.
 */

export class PrefixCache {
  #free: number;
  /** Blocks of dialogues that nobody computes, longest ago first. */
  readonly #idle = new Map<string, number>();
  #idleBlocks = 0;

  /** @param blocks `Infinity` for a cache that forgets nothing */
  constructor(readonly blocks: number) {
    this.#free = blocks;
  }

  /** Blocks left by the dialogue. */
  held(key: string): number {
    return this.#idle.get(key) ?? 0;
  }

  /**
   * Reserves `blocks` for a turn, those the dialogue left included, and says how many of them hold
   * its beginning; undefined when there is no room now.
   */
  take(key: string, blocks: number): number | undefined {
    if (blocks > this.#free + this.#idleBlocks) return undefined;
    const held = this.held(key);
    this.#release(key, held);
    while (this.#free < blocks) {
      const [[oldest, size]] = this.#idle as unknown as [[string, number]];
      this.#release(oldest, Math.min(size, blocks - this.#free));
    }
    this.#free -= blocks;
    return Math.min(held, blocks);
  }

  /** Gives back what a turn reserved; the first `kept` blocks are left for the dialogue's next one. */
  leave(key: string, reserved: number, kept: number): void {
    this.#free += reserved - kept;
    if (kept === 0) return;
    this.#idle.set(key, kept);
    this.#idleBlocks += kept;
  }

  /** Blocks that nobody reserves: free ones, and those that were left. */
  get available(): number {
    return this.#free + this.#idleBlocks;
  }

  /** Makes the last `count` blocks that the dialogue left free. */
  #release(key: string, count: number): void {
    const rest = this.held(key) - count;
    // Not `delete` and `set`: that would make it the newest.
    if (rest > 0) this.#idle.set(key, rest);
    else this.#idle.delete(key);
    this.#idleBlocks -= count;
    this.#free += count;
  }
}
