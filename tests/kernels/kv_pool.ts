/**
 * Sequences in a pool of KV blocks, for the kernels that attend to them.
 *
 * Knows the layout of KV blocks and block tables. Every word of the cache that no sequence wrote is
 * NaN, so reading a masked or foreign key shows.
 */
import { shuffled } from "../helpers.ts";

/** Sequences in a pool of KV blocks. */
export interface Pool {
  /** (blocks, 2: keys and values, block, headDim); NaN where no sequence wrote. */
  kv: Float16Array<ArrayBuffer>;
  /** Block numbers, a run a sequence, with gaps between the runs. */
  tables: Uint32Array<ArrayBuffer>;
  sequences: { table: number; keys: Float16Array[]; values: Float16Array[] }[];
}

/** The key or value of a token, (headDim). */
export type Vectors = (half: "key" | "value", token: number, seed: number) => Float32Array;

/** Blocks are handed out in shuffled order, so a sequence's blocks lie anywhere in the pool. */
export function makePool(
  shape: { block: number; headDim: number },
  lengths: number[],
  vectors: Vectors,
): Pool {
  const { block, headDim } = shape;
  const counts = lengths.map((length) => Math.ceil(length / block));
  const total = counts.reduce((sum, count) => sum + count, 0) + 2;
  const free = [...shuffled(total, 1)];
  const kv = new Float16Array(total * 2 * block * headDim).fill(NaN);
  const tables = [12345];
  const sequences = lengths.map((length, sequence) => {
    const blocks = free.splice(0, counts[sequence]);
    const table = tables.length;
    tables.push(...blocks, 12345);
    const write = (half: "key" | "value") =>
      Array.from({ length }, (_, token) => {
        const part = half === "key" ? 0 : 1;
        const place = (blocks[Math.floor(token / block)] * 2 + part) * block + token % block;
        const vector = new Float16Array(vectors(half, token, 1000 * sequence + 2 * token + part));
        kv.set(vector, place * headDim);
        return vector;
      });
    return { table, keys: write("key"), values: write("value") };
  });
  return { kv, tables: new Uint32Array(tables), sequences };
}
