/**
 * Blocks of tokens that are computed, for sequences that begin with the same ones: a tree in which
 * each block hangs on those before it.
 *
 * Knows scopes, tokens, who uses a block, and which was used least recently. Knows no buffer and no
 * table: a block is a number.
 */

/** A full block of tokens; it means something only behind its parent. */
export interface PrefixBlock {
  readonly block: number;
  readonly parent: PrefixBlock | undefined;
  /** The tokens themselves, not a hash of them: two prompts can never be taken for one another. */
  readonly key: string;
  readonly children: Map<string, PrefixBlock>;
  users: number;
}

export class PrefixCache {
  readonly #roots = new Map<string, PrefixBlock>();
  /** Blocks without a user, the one that was left first in front, and none before its children. */
  readonly #unused = new Set<PrefixBlock>();

  constructor(private readonly blockTokens: number) {}

  /** Blocks that are kept and that nobody uses. */
  get unused(): number {
    return this.#unused.size;
  }

  /** Where all chains of a scope begin; it is no block itself. */
  root(scope: string): PrefixBlock {
    let root = this.#roots.get(scope);
    if (!root) {
      root = { block: -1, parent: undefined, key: scope, children: new Map(), users: 0 };
      this.#roots.set(scope, root);
    }
    return root;
  }

  /** The longest chain that these tokens begin with, of at most `most` tokens. */
  find(scope: string, tokens: readonly number[], most: number): PrefixBlock[] {
    const chain: PrefixBlock[] = [];
    for (let at: PrefixBlock | undefined = this.#roots.get(scope); at !== undefined;) {
      if ((chain.length + 1) * this.blockTokens > most) break;
      at = at.children.get(this.#key(tokens, chain.length));
      if (at) chain.push(at);
    }
    return chain;
  }

  /** The block of `tokens` behind a parent at that depth, if somebody has computed it. */
  child(parent: PrefixBlock, tokens: readonly number[], depth: number): PrefixBlock | undefined {
    return parent.children.get(this.#key(tokens, depth));
  }

  /** Takes a block in, with one user. */
  add(parent: PrefixBlock, tokens: readonly number[], depth: number, block: number): PrefixBlock {
    const key = this.#key(tokens, depth);
    const added = { block, parent, key, children: new Map(), users: 1 };
    parent.children.set(key, added);
    return added;
  }

  use(chain: readonly PrefixBlock[]): void {
    for (const one of chain) {
      one.users++;
      this.#unused.delete(one);
    }
  }

  /** A user leaves a chain, its last block first: a block goes before the one it hangs on. */
  leave(chain: readonly PrefixBlock[]): void {
    for (const one of chain.toReversed()) {
      if (--one.users === 0) this.#unused.add(one);
    }
  }

  /** Nobody finds the chain any more, nor what hangs on it; its blocks go when nobody uses them. */
  forget([first]: readonly PrefixBlock[]): void {
    if (first) detach(first);
  }

  /** Gives up the block that was not used for longest. */
  evict(): number | undefined {
    for (const oldest of this.#unused) {
      this.#unused.delete(oldest);
      detach(oldest);
      return oldest.block;
    }
  }

  #key(tokens: readonly number[], depth: number): string {
    return tokens.slice(depth * this.blockTokens, (depth + 1) * this.blockTokens).join();
  }
}

function detach(one: PrefixBlock): void {
  const { parent, key } = one;
  // Another may have taken its place since it was forgotten.
  if (parent?.children.get(key) === one) parent.children.delete(key);
}
