/**
 * Who computes what in `decode_layers`: each workgroup's part of every matrix.
 *
 * Knows the shape of a layer and how work is counted. Knows no GPU; it is no kernel.
 */

/** What the cut depends on. */
export interface SharedShape {
  hidden: number;
  ffn: number;
  heads: number;
  headDim: number;
}

/** What one workgroup computes; a quad is four outputs, a unit of up eight quads. */
export interface Share {
  upFirst: number;
  upUnits: number;
  qkvFirst: number;
  qkvQuads: number;
  outFirst: number;
  outQuads: number;
  /** Its turn when keys and heads are given out. */
  rank: number;
}

/**
 * Who computes what: every workgroup the same number of quads in each phase, or one more. Outputs of
 * up are given out in units, since eight quads make a chunk; those of qkv make up for it.
 */
export function shares(
  { hidden, ffn, heads, headDim }: SharedShape,
  workgroups: number,
): Share[] {
  const cut = (total: number, w: number) => Math.floor(w * total / workgroups);
  const units = ffn / 32;
  const qkvQuads = (heads + 2) * headDim / 4;
  const qkvCuts = [0];
  for (let w = 1; w <= workgroups; w++) {
    const fair = cut(8 * units + qkvQuads, w) - 8 * cut(units, w);
    qkvCuts.push(Math.max(qkvCuts[w - 1], Math.min(qkvQuads, fair)));
  }
  const all = Array.from({ length: workgroups }, (_, w) => ({
    upFirst: cut(units, w),
    upUnits: cut(units, w + 1) - cut(units, w),
    qkvFirst: qkvCuts[w],
    qkvQuads: qkvCuts[w + 1] - qkvCuts[w],
    outFirst: cut(hidden / 4, w),
    outQuads: cut(hidden / 4, w + 1) - cut(hidden / 4, w),
    rank: 0,
  }));
  // Attention goes first to those who have least of down.
  all.toSorted((a, b) => a.outQuads - b.outQuads).forEach((share, rank) => share.rank = rank);
  return all;
}

/** Shares as the kernel reads them, eight words each. */
export function packShares(all: readonly Share[]): Uint32Array<ArrayBuffer> {
  return new Uint32Array(all.flatMap((share) => [
    share.upFirst,
    share.upUnits,
    share.qkvFirst,
    share.qkvQuads,
    share.outFirst,
    share.outQuads,
    share.rank,
    0,
  ]));
}

/** The share of a workgroup that only comes to the meetings. */
export const NO_SHARE: Share = {
  upFirst: 0,
  upUnits: 0,
  qkvFirst: 0,
  qkvQuads: 0,
  outFirst: 0,
  outQuads: 0,
  rank: 0xffffffff,
};
