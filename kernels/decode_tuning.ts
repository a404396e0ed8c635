/**
 * Choices of `decode_layers` that change no result, only its speed: what a GPU has to decide.
 *
 * Knows what each choice means and which are taken; LOG.md says what was measured. It is no kernel.
 */
import type { BarrierKind } from "./grid_barrier.ts";

export interface DecodeTuning {
  /** Threads of a workgroup, and those of them that attend while others multiply; not in software. */
  threads: number;
  attention: number;
  /**
   * Sectors of its next weights that a thread touches while workgroups meet, so that they lie in the
   * L2 when they are read: before qkv and up, before down, before dense. Multiples of four, or 0.
   */
  touchWide: number;
  touchDown: number;
  touchDense: number;
  /** Bytes from one touch to the next: 32, a sector, or 64. */
  touchBytes: 32 | 64;
  /** Whether touches are waited for after the next vector is fetched, not before the meeting ends. */
  settleLate: boolean;
  /** Whether the odd quads of 4-bit weights are taken as signed, without a shift: `decode_tail.ts`. */
  signedOdd: boolean;
  /** How many steps ahead of the chunk that is multiplied another one is touched; 0: none. */
  touchNext: number;
  /** Whether the norm's vectors are loaded before the meeting that it waits for. */
  normAhead: boolean;
  /** Whether the norm takes one reduction over all threads instead of two. */
  normOnce: boolean;
  /** Whether down and dense are cut evenly among subgroups, instead of by teams of 64 threads. */
  evenNarrow: boolean;
  barrier: BarrierKind;
  /** What ends a meeting: a barrier for storage too, or one for workgroup memory alone. */
  barrierEnd: "storage" | "workgroup";
}

export const DECODE_TUNING: DecodeTuning = {
  threads: 768,
  attention: 192,
  touchWide: 0,
  touchDown: 0,
  touchDense: 0,
  touchBytes: 32,
  settleLate: false,
  signedOdd: false,
  touchNext: 0,
  normAhead: false,
  normOnce: false,
  evenNarrow: false,
  barrier: "counter",
  barrierEnd: "storage",
};
