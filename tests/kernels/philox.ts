/**
 * Philox 4x32-10 and the race of the draw in plain numbers: the oracle for sampling's randomness.
 *
 * Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */

/** Four random words of a counter of four words and a key of two. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * c0;
    const b = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & word, (a >> 32n) ^ c3 ^ k1, a & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [c0, c1, c2, c3].map(Number);
}

/** The exponentially distributed number of a token: -log(1 - u), u of 64 random bits. */
export function exponential(seed: number, index: number, id: number): number {
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  const [high, low] = philox([id, index, 0, 0], key);
  return -Math.log1p(-(high * 2 ** -32 + (low + 0.5) * 2 ** -64));
}
