// The digests that signed metadata lists of another file, and whether bytes have them. A listing without any digest that is
// known here never passes for a match.

import { createHash } from 'node:crypto';

/** By algorithm, lower-case hex; members that are not known here are carried but prove nothing. */
export type ListedDigests = Readonly<Record<string, string>>;

/** Digits of each known digest in hex, strongest habit first: what publishers list as a rule. */
export const digestHexDigits = { sha256: 64, sha512: 128 } as const;

type Algorithm = keyof typeof digestHexDigits;

const knownAlgorithms = Object.keys(digestHexDigits) as readonly Algorithm[];

const listedAlgorithms = (listed: ListedDigests): readonly Algorithm[] =>
  knownAlgorithms.filter((algorithm) => Object.hasOwn(listed, algorithm));

/** Any of the known digests; null when there is none. */
export const knownDigest = (listed: ListedDigests): string | null => {
  const [algorithm] = listedAlgorithms(listed);
  return algorithm === undefined ? null : (listed[algorithm] ?? null);
};

/** 'same' only when every known digest matches and there is at least one. */
export const matchDigests = (bytes: Uint8Array, listed: ListedDigests): 'same' | 'other' | 'unknown' => {
  const algorithms = listedAlgorithms(listed);
  if (algorithms.length === 0) {
    return 'unknown';
  }
  const isSame = algorithms.every(
    (algorithm) => createHash(algorithm).update(bytes).digest('hex') === listed[algorithm],
  );
  return isSame ? 'same' : 'other';
};
