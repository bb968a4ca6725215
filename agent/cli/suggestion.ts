// Finds the word that somebody probably meant. Pure.

/** Edits (insert, delete, replace, swap of neighbours) between two words. */
const distance = (left: string, right: string): number => {
  const rows: number[][] = [];
  for (let i = 0; i <= left.length; i++) {
    const row: number[] = [];
    for (let j = 0; j <= right.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j);
        continue;
      }
      const isSame = left[i - 1] === right[j - 1];
      let best = Math.min(
        (rows[i - 1]?.[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (rows[i - 1]?.[j - 1] ?? 0) + (isSame ? 0 : 1),
      );
      const isSwap = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      if (isSwap) best = Math.min(best, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[left.length]?.[right.length] ?? 0;
};

const wordCharsMax = 40;

/** The nearest of `words`, or null when none is near: a third of the letters may differ, or `word` is how one begins. */
export const nearest = (word: string, words: readonly string[]): string | null => {
  if (word === '' || word.length > wordCharsMax) return null;
  const wanted = word.toLowerCase();
  const begun = words.find((candidate) => wanted.length >= 2 && candidate.startsWith(wanted));
  if (begun !== undefined) return begun;
  const ranked = words
    .map((candidate) => ({ candidate, edits: distance(wanted, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : null;
};
