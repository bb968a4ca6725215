// How far two words are from each other, for 'did you mean'. Pure; inputs are short.

/** Damerau-Levenshtein distance with adjacent swaps: what one slip of a finger does counts as one. */
export const editDistance = (a: string, b: string): number => {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const substitution = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(substitution, at(i - 1, j) + 1, (row[j - 1] ?? 0) + 1, swap));
    }
  }
  return at(a.length, b.length);
};

const wordCharsMax = 40;

/** The nearest of `words`, or null when none is near: a third of the letters may differ, or `word` is how one begins. */
export const nearest = (word: string, words: readonly string[]): string | null => {
  if (word === '' || word.length > wordCharsMax) return null;
  const wanted = word.toLowerCase();
  const begun = words.find((candidate) => wanted.length >= 2 && candidate.startsWith(wanted));
  if (begun !== undefined) return begun;
  const ranked = words
    .map((candidate) => ({ candidate, edits: editDistance(wanted, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : null;
};
