// A second reading of JSON for the fuzz targets, sharing nothing with verity/canonical-json.ts: JSON.parse for the values, a
// scan of the tokens for members that stand twice, and the canonical form of the TUF project's own JavaScript library.

import { canonicalize } from '@tufjs/canonical-json';
import { Finding } from './target.ts';

/** True if an object in the text has two members of one name, or one that every object inherits. */
export const hasDoubleMembers = (text: string): boolean => {
  const stack: (Set<string> | null)[] = [];
  let name: string | null = null;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/gs)) {
    if (token === '{') stack.push(new Set());
    else if (token === '[') stack.push(null);
    else if (token === '}' || token === ']') stack.pop();
    else if (token !== ':') {
      name = token;
      continue;
    } else if (name !== null) {
      const members = stack.at(-1);
      const member = JSON.parse(name) as string;
      if (members?.has(member) === true || member === '__proto__') return true;
      members?.add(member);
    }
    name = null;
  }
  return false;
};

/** Throws a finding: what production code accepted must be JSON to everybody. */
export const readJson = (input: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input));
  } catch (error) {
    throw new Finding(`accepted, and no JSON: ${(error as Error).message}`);
  }
};

export const canonicalOf = (value: unknown): string => canonicalize(value as object);
