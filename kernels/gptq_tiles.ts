/**
 * How a product of a matrix and some rows is cut for the GPU.
 *
 * Knows which cut was the fastest on an H200 at Falcon-7B's shapes (LOG.md), and that all of them
 * are right for any shape. Knows no WGSL.
 */
import type { MatrixShape } from "./gptq_shape.ts";

export interface Tile {
  /** Rows of a workgroup, a multiple of 8 or less than 8. */
  rows: number;
  /** Outputs of a thread, a multiple of 4. */
  outputs: number;
  /** Threads that share outputs, a multiple of 4. */
  lanes: number;
  /** Threads of a workgroup; with gelu eight times the lanes. */
  threads: number;
}

/** Rows up to which `fewRows` is the faster cut. */
export const FEW_ROWS = 8;
/** And those up to which `SOME_ROWS` is. */
export const MOST_SOME_ROWS = 64;

/** Few outputs need many lanes to fill a GPU. */
export function fewRows({ inFeatures, epilogue }: MatrixShape): Tile {
  if (epilogue === "gelu") return { rows: 8, outputs: 4, lanes: 16, threads: 128 };
  return { rows: 8, outputs: 4, lanes: inFeatures >= 8192 ? 64 : 32, threads: 64 };
}

/** Half-empty tiles would cost as much as full ones. Halves take no larger one: registers run out. */
export const SOME_ROWS: Tile = { rows: 8, outputs: 4, lanes: 16, threads: 128 };

export const MANY_ROWS: Tile = { rows: 16, outputs: 4, lanes: 16, threads: 128 };
