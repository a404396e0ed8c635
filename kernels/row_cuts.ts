/**
 * How the kernels that compute one row in few, large workgroups are cut for the GPU.
 *
 * Knows how outputs are given to workgroups, and which cut is the best on an H200 at Falcon-7B's
 * shapes (LOG.md); all of them are right for any shape they fit. Knows no WGSL.
 *
 * Each workgroup prepares the whole input for itself, so there should be few; each multiprocessor
 * should have equally much to do, so they are as many as that has, or a little less.
 */
import type { Gpu } from "../gpu/device.ts";

export interface RowCut {
  /** Threads of a workgroup, a multiple of 32. */
  threads: number;
  /** Threads that share four outputs. */
  lanes: number;
  /** Chunks of weights that a thread loads first, from 1. */
  first: number;
  /** Whether it does so before the input is prepared. */
  early: boolean;
  /** Whether subgroups put numbers together, where the GPU has them of one size. */
  subgroups: boolean;
}

/** 44 quads of outputs a workgroup: 130 workgroups. */
const NORM_QKV_UP: RowCut = { threads: 704, lanes: 16, first: 1, early: false, subgroups: true };
/** Nine quads a workgroup, 127 workgroups; all weights of a thread are loaded at once. */
const COMBINE_DENSE: RowCut = { threads: 640, lanes: 71, first: 2, early: false, subgroups: true };
/** A CPU takes one thread after the other. */
const SOFTWARE: RowCut = { threads: 64, lanes: 1, first: 1, early: false, subgroups: true };

export function normQkvUpCut(gpu: Gpu, bits: number): RowCut {
  return cutFor(gpu, NORM_QKV_UP, bits);
}

export function combineDenseCut(gpu: Gpu, bits: number): RowCut {
  return cutFor(gpu, COMBINE_DENSE, bits);
}

function cutFor(gpu: Gpu, best: RowCut, bits: number): RowCut {
  if (gpu.software) return SOFTWARE;
  const most = mostThreads(gpu);
  // A chunk of 8 bits takes twice the registers, and as many chunks would not fit.
  const cut = bits === 8 ? { ...best, first: 1 } : best;
  if (cut.threads <= most) return cut;
  return { ...cut, threads: most, lanes: Math.max(1, Math.floor(cut.lanes * most / cut.threads)) };
}

/** Threads that a workgroup may have. */
export function mostThreads({ device: { limits } }: Gpu): number {
  return Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
}

/** Quads of outputs that a workgroup computes at once. */
export function slots({ threads, lanes }: RowCut): number {
  return Math.floor(threads / lanes);
}

/** Where the share of workgroup w begins when `total` things are given to so many workgroups. */
function cutAt(total: number, w: number, workgroups: number): number {
  return Math.floor(w * total / workgroups);
}

/** More workgroups than this, each with the whole input to prepare, are not worth it. */
const MOST_WORKGROUPS = 1024;

/**
 * The fewest workgroups that share two matrices, the first in units of eight quads, the second in
 * single ones that make up for the difference, so that each has at most `most` quads in one go.
 *
 * The kernel cuts as this does: units at `cut(units, w)`, all quads at `cut(8 units + quads, w)`.
 * Undefined when there are none.
 */
export function fewestWorkgroups(units: number, quads: number, most: number): number | undefined {
  for (let count = 1; count <= MOST_WORKGROUPS; count++) {
    const wide = (w: number) => 8 * cutAt(units, w, count);
    const all = (w: number) => cutAt(8 * units + quads, w, count);
    const fair = Array.from({ length: count }, (_, w) => {
      const share = all(w + 1) - all(w);
      return share <= most && share >= wide(w + 1) - wide(w);
    });
    if (fair.every((is) => is)) return count;
  }
  return undefined;
}
