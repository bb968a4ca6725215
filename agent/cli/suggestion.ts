// Finds the word that somebody probably meant. Pure.

import { editDistance } from '../edit-distance.ts';

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
