// The known word that a mistyped one most likely meant. Pure; inputs are short keys.

import { editDistance } from '../edit-distance.ts';

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
      editDistance(fold(key), fold(candidate)),
      editDistance(fold(lastPart(key)), fold(lastPart(candidate))) + 0.5,
    ),
  }));
  const best = scored.reduce<(typeof scored)[number] | null>(
    (least, next) => (least === null || next.score < least.score ? next : least),
    null,
  );
  const limit = Math.max(1, Math.floor(fold(lastPart(key)).length / 3));
  return best !== null && best.score <= limit ? best.candidate : null;
};
