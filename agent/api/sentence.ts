// How a fact becomes part of a sentence. Pure.

/** A span of time as a person says it: '40 s', '12 min', '3 h', '2 days'. */
export const spanText = (ms: number): string => {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
};

/** With exactly one full stop at its end. Reasons come from checks and people, with or without one. */
export const asSentence = (text: string): string => `${text.trim().replace(/[.\s]+$/, '')}.`;
