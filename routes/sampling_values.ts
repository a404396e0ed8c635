/**
 * Values of sampling parameters that every API maps its own to.
 *
 * Knows what the engine's numbers can hold. Knows no field of any API.
 */

/** The engine's seeds are the integers a double holds exactly; others are reduced modulo this. */
export const SEEDS = 2n ** 53n;

/** Colder is the same as this: dividing logits by much less would overflow a float32. */
export const COLDEST = 1e-6;

export function randomSeed(): number {
  const [bits] = crypto.getRandomValues(new BigUint64Array(1));
  return Number(bits! % SEEDS);
}

/** @param seed a whole number from 0 to 2^64 */
export function readSeed(seed: number): number {
  return Number(BigInt(seed) % SEEDS);
}
