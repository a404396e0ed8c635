/**
 * What is said of a series of measurements in one number.
 *
 * Knows numbers. Knows nothing of what was measured.
 */

/** The middle value; the mean of the middle two, of an even number. @throws {RangeError} for none */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

/**
 * The smallest of the values that `percent` per cent of them do not exceed (nearest rank).
 *
 * @param percent above 0, at most 100
 * @throws {RangeError} for no values
 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = ascending(values);
  return sorted[Math.ceil(percent / 100 * sorted.length) - 1]!;
}

function ascending(values: readonly number[]): number[] {
  if (values.length === 0) throw new RangeError("There is no middle of no values.");
  return values.toSorted((a, b) => a - b);
}
