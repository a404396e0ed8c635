/**
 * Random numbers of a simulation: equal seeds and streams give equal numbers.
 *
 * Knows generators, distributions and a hash of texts. Knows nothing of what is drawn.
 */

/** Spreads a text over 32 bits: FNV-1a, then murmur's last step. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return mix(value);
}

/** A permutation of the 32-bit words that leaves nothing of their order. */
export function mix(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

export class Chance {
  #state: number;

  constructor(seed: number, stream: string) {
    this.#state = hash(`${seed} ${stream}`);
  }

  /** Even in [0, 1), in steps of 2^-32 (a Weyl sequence, mixed). */
  even(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    return mix(this.#state) / 2 ** 32;
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.even() * count);
  }

  /** Exponential, as the time between events that know nothing of each other. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.even());
  }
}
