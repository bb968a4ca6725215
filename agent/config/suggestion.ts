// The known word that a mistyped one most likely meant. Pure; inputs are short keys.

/** Damerau-Levenshtein distance with adjacent swaps: what one slip of a finger does counts as one. */
const distance = (a: string, b: string): number => {
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

const lengthMax = 128;
const fold = (word: string): string => word.toLowerCase().replace(/[_-]/g, '');
const lastPart = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

/**
 * The dotted key of `known` nearest to `key`, or null when none is near. A right name in the wrong place is found by its
 * last part; snake_case and kebab-case count as spelled right.
 */
export const suggestKey = (key: string, known: readonly string[]): string | null => {
  if (key.length > lengthMax) return null;
  const scored = known.map((candidate) => ({
    candidate,
    score: Math.min(
      distance(fold(key), fold(candidate)),
      distance(fold(lastPart(key)), fold(lastPart(candidate))) + 0.5,
    ),
  }));
  const best = scored.reduce<(typeof scored)[number] | null>(
    (least, next) => (least === null || next.score < least.score ? next : least),
    null,
  );
  const limit = Math.max(1, Math.floor(fold(lastPart(key)).length / 3));
  return best !== null && best.score <= limit ? best.candidate : null;
};
