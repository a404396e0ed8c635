/** Which word was probably meant: for "Did you mean …?" after a mistyped command or flag. */

/** The candidate with the fewest edits, if those are few enough to be a slip of the finger. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  // Of one letter nothing can be told.
  if (word.length < 2) return undefined;
  let best: string | undefined;
  let fewest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = distance(word, candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

/** "Did you mean `x`?" with a leading space, or nothing. */
export function suggestion(word: string, candidates: readonly string[], prefix = ""): string {
  const meant = closest(word, candidates);
  return meant === undefined ? "" : ` Did you mean ${prefix}${meant}?`;
}

/** Levenshtein's distance where swapping two neighbours counts as one edit. */
function distance(a: string, b: string): number {
  let twoAgo: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      current[j] = Math.min(
        previous[j]! + 1,
        current[j - 1]! + 1,
        previous[j - 1]! + (same ? 0 : 1),
      );
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) current[j] = Math.min(current[j]!, twoAgo[j - 2]! + 1);
    }
    twoAgo = previous;
    previous = current;
  }
  return previous[b.length]!;
}
