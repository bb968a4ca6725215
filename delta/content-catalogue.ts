// Finds the old content that a new one is likely to come from: by path, by content, by a path that differs in digits only, as
// versions do, or by such a name alone. For the publisher.

import { createHash } from 'node:crypto';
import type { ImageContent } from './image-content.ts';
import type { Content } from './image-tables.ts';

const folded = (name: string): string => name.replace(/\d+/g, '#');
const baseName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

const digestOf = async (image: ImageContent, { slices }: Content): Promise<string> => {
  const hash = createHash('sha256');
  for (const { unit, at, lengthBytes } of slices)
    hash.update((await image.readRaw(unit)).subarray(at, at + lengthBytes));
  return hash.digest('base64');
};

/** Old contents by all that they are looked for. */
export const createCatalogue = (old: ImageContent) => {
  const indexBy = (keyOf: (content: Content) => string | null): ReadonlyMap<string, readonly Content[]> => {
    const index = new Map<string, Content[]>();
    for (const content of old.contents) {
      const key = keyOf(content);
      if (key !== null) index.set(key, [...(index.get(key) ?? []), content]);
    }
    return index;
  };
  const byPath = indexBy(({ name }) => name);
  const byFolded = indexBy(({ name }) => (name === null ? null : folded(name)));
  const byBaseName = indexBy(({ name }) => (name === null ? null : folded(baseName(name))));
  const bySize = indexBy(({ lengthBytes }) => `${lengthBytes}`);
  const digests = new Map<Content, Promise<string>>();
  const oldDigest = (content: Content): Promise<string> => {
    const known = digests.get(content) ?? digestOf(old, content);
    digests.set(content, known);
    return known;
  };
  const nearest = (contents: readonly Content[] | undefined, lengthBytes: number): Content | null =>
    (contents ?? []).reduce<Content | null>((best, content) => {
      const distance = (one: Content): number => Math.abs(one.lengthBytes - lengthBytes);
      return best === null || distance(content) < distance(best) ? content : best;
    }, null);
  return {
    ofPath: ({ name, lengthBytes }: Content): Content | null =>
      name === null ? null : nearest(byPath.get(name), lengthBytes),
    ofContent: async (image: ImageContent, content: Content): Promise<Content | null> => {
      const candidates = bySize.get(`${content.lengthBytes}`) ?? [];
      if (candidates.length === 0) return null;
      const digest = await digestOf(image, content);
      for (const candidate of candidates) if ((await oldDigest(candidate)) === digest) return candidate;
      return null;
    },
    ofLikeName: ({ name, lengthBytes }: Content): Content | null => {
      if (name === null) return null;
      const sameFolder = nearest(byFolded.get(folded(name)), lengthBytes);
      return sameFolder ?? nearest(byBaseName.get(folded(baseName(name))), lengthBytes);
    },
  };
};
