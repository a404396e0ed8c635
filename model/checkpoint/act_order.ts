/**
 * Act-order undone: the order of a weight's input rows in which its groups are contiguous.
 *
 * GPTQ with act-order quantises the most important inputs first and groups them in that order; g_idx
 * says which group each input landed in. Rows sorted by group once, at load, need no g_idx any more.
 * Knows permutations only, no weights.
 */

import { quote, wrong } from "./report.ts";
import type { TensorInfo } from "./safetensors.ts";

/** What is needed of a `Linear`. */
export interface Grouped {
  name: string;
  inFeatures: number;
  groups: number;
  gIdx: TensorInfo | undefined;
}

/**
 * The stable sort of the inputs by group.
 *
 * @param gIdx the group of each input, (in); undefined when groups follow the inputs in order
 * @param groupSize inputs of every group but the last, which may be shorter; 0 for one group of all
 * @returns the source row at each sorted place, (in)
 * @throws {CheckpointError} when sorted groups would not start at multiples of the group size
 */
export function actOrderPermutation(
  gIdx: Int32Array | undefined,
  linear: Grouped,
  groupSize: number,
): Uint32Array<ArrayBuffer> {
  const { inFeatures, groups } = linear;
  const permutation = new Uint32Array(inFeatures);
  if (gIdx === undefined) return permutation.map((_, row) => row);
  if (gIdx.length !== inFeatures) throw mismatch(linear, `${inFeatures} values`, `${gIdx.length}`);

  const size = groupSize === 0 ? inFeatures : groupSize;
  const counts = new Uint32Array(groups);
  for (const group of gIdx) {
    if (group < 0 || group >= groups) {
      throw mismatch(linear, `groups from 0 to ${groups - 1}`, `${group}`);
    }
    counts[group]++;
  }
  for (const [group, count] of counts.entries()) {
    const expected = Math.min(size, inFeatures - group * size);
    if (count !== expected) {
      throw mismatch(linear, `${expected} inputs in group ${group} of ${groups}`, `${count}`);
    }
  }

  // Where the next row of each group goes; counting keeps rows of a group in their order.
  const next = counts.map((_, group) => group * size);
  gIdx.forEach((group, row) => permutation[next[group]++] = row);
  return permutation;
}

/** q with q[p[i]] = i. */
export function invertPermutation(permutation: Uint32Array): Uint32Array<ArrayBuffer> {
  const inverse = new Uint32Array(permutation.length);
  permutation.forEach((source, place) => inverse[source] = place);
  return inverse;
}

export function samePermutation(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((source, place) => source === b[place]);
}

export function isIdentity(permutation: Uint32Array): boolean {
  return permutation.every((source, place) => source === place);
}

function mismatch({ name, gIdx }: Grouped, expected: string, found: string) {
  return wrong(gIdx?.path ?? "the checkpoint", `tensor ${quote(`${name}.g_idx`)}`, expected, found);
}
