/**
 * Random numbers in the forms a checkpoint stores, made fast: a full model has seven thousand
 * million weights.
 *
 * Knows generators, f16 tables and words packed with 4- or 8-bit weights. Knows no tensor name and
 * no model. Values come as pieces of bytes that share memory: each is valid until the next one.
 * All is little-endian, as every machine that Deno runs on.
 */

/** Bytes of a piece, about. */
const PIECE_BYTES = 1 << 20;

/** A seeded generator of 32-bit words (Marsaglia's xorshift128): fast, and good enough for this. */
export class Random {
  readonly #state = new Int32Array(4);

  /** Equal seed and stream give equal numbers; different streams have nothing to do with another. */
  constructor(seed: number, stream: string) {
    // FNV-1a spreads the text over 32 bits, then a mixing step (murmur's) makes four words of it.
    let hash = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(`${seed} ${stream}`)) {
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    for (let i = 0; i < 4; i++) {
      hash = (hash + 0x9e3779b9) | 0;
      let word = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
      this.#state[i] = word ^ (word >>> 16) | 1;
    }
  }

  /** Fills `words` with 32 random bits each. */
  fill(words: Int32Array): void {
    let [x, y, z, w] = this.#state as unknown as [number, number, number, number];
    for (let i = 0; i < words.length; i++) {
      const t = x ^ (x << 11);
      x = y;
      y = z;
      z = w;
      w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
      words[i] = w;
    }
    this.#state.set([x, y, z, w]);
  }

  /** The numbers 0 to `length` - 1 in random order (Fisher and Yates). */
  permutation(length: number): Int32Array<ArrayBuffer> {
    const order = Int32Array.from({ length }, (_, i) => i);
    const words = new Int32Array(length);
    this.fill(words);
    for (let i = length - 1; i > 0; i--) {
      const j = Math.floor((words[i]! >>> 0) / 2 ** 32 * (i + 1));
      const value = order[i]!;
      order[i] = order[j]!;
      order[j] = value;
    }
    return order;
  }
}

/** As many f16 values as 16 random bits can choose from: drawing one is a look-up. */
export type F16Table = Uint16Array<ArrayBuffer>;

const TABLE_SIZE = 1 << 16;

/** Normally distributed values, as many above the mean as below. */
export function normalTable(mean: number, deviation: number): F16Table {
  const words = new Int32Array(TABLE_SIZE);
  new Random(0, "normal table").fill(words);
  const table = new Float16Array(TABLE_SIZE);
  for (let i = 0; i < TABLE_SIZE; i += 2) {
    // Box and Muller: a radius and an angle.
    const radius = Math.sqrt(-2 * Math.log(((words[i]! >>> 0) + 1) / 2 ** 32));
    const offset = radius * Math.cos(2 * Math.PI * (words[i + 1]! >>> 0) / 2 ** 32) * deviation;
    table[i] = mean + offset;
    table[i + 1] = mean - offset;
  }
  return new Uint16Array(table.buffer);
}

/** Evenly distributed values from `low` to `high`. */
export function evenTable(low: number, high: number): F16Table {
  const step = (high - low) / (TABLE_SIZE - 1);
  const table = Float16Array.from({ length: TABLE_SIZE }, (_, i) => low + step * i);
  return new Uint16Array(table.buffer);
}

/** `count` f16 values drawn from `table`. */
export function* f16Pieces(
  random: Random,
  table: F16Table,
  count: number,
): Generator<Uint8Array<ArrayBuffer>> {
  const piece = new Uint16Array(Math.min(count, PIECE_BYTES / 2));
  const words = new Int32Array(Math.ceil(piece.length / 2));
  const choices = new Uint16Array(words.buffer);
  for (let done = 0; done < count; done += piece.length) {
    const length = Math.min(piece.length, count - done);
    random.fill(words);
    for (let i = 0; i < length; i++) piece[i] = table[choices[i]!]!;
    yield new Uint8Array(piece.buffer, 0, length * 2);
  }
}

/**
 * How weights spread around their zero point: as the sum of two even draws from 0 to `reach`, less
 * `reach`. That is a bell of sorts (a triangle), and packed lanes add without a carry.
 */
export interface WeightSpread {
  bits: 4 | 8;
  /** 2^n - 1 with 2 * reach < 2^bits. */
  reach: number;
}

/** The standard deviation of such weights, in steps of the quantiser. */
export function spreadDeviation({ reach }: WeightSpread): number {
  return Math.sqrt(((reach + 1) ** 2 - 1) / 6);
}

/** A word with the same value in every lane of `bits` bits, or in one of `step` lanes. */
export function everyLane(value: number, bits: number, step = 1): number {
  let word = 0;
  for (let shift = 0; shift < 32; shift += bits * step) word |= value << shift;
  return word;
}

export interface PackedWeights extends WeightSpread {
  /** Of words: inputs * bits / 32. */
  rows: number;
  columns: number;
  /** Whether each odd input's weight is its even neighbour's, mirrored at the zero point. */
  mirrored: boolean;
  /** Writes the zero points of a row's words into `zeros`, packed: (columns). */
  zeros: (row: number, zeros: Int32Array) => void;
}

/** Random weights, 32 / bits inputs a word, the lowest bits first: (rows, columns). */
export function* packedPieces(
  random: Random,
  { bits, reach, rows, columns, mirrored, zeros }: PackedWeights,
): Generator<Uint8Array<ArrayBuffer>> {
  const reaches = everyLane(reach, bits);
  const even = everyLane(2 ** bits - 1, bits, 2);
  const twiceReach = everyLane(2 * reach, bits, 2);
  const first = new Int32Array(columns);
  const second = new Int32Array(columns);
  const centre = new Int32Array(columns);
  const pieceRows = Math.min(rows, Math.max(1, Math.floor(PIECE_BYTES / 4 / columns)));
  const piece = new Int32Array(pieceRows * columns);
  for (let start = 0; start < rows; start += pieceRows) {
    const end = Math.min(rows, start + pieceRows);
    let i = 0;
    for (let row = start; row < end; row++) {
      random.fill(first);
      random.fill(second);
      zeros(row, centre);
      for (let column = 0; column < columns; column++) {
        const a = first[column]!;
        const b = second[column]!;
        let word = ((a & reaches) + (b & reaches)) | 0;
        if (mirrored) {
          const kept = word & even;
          word = kept | ((twiceReach - kept) << bits);
        }
        // One word in 256 is any word: values beyond the reach are rare, but they exist.
        piece[i++] = (a ^ b) >>> 24 === 0 ? a : word + centre[column]! - reaches;
      }
    }
    yield new Uint8Array(piece.buffer, 0, i * 4);
  }
}
