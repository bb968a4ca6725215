// The suffix array of bytes by induced sorting (SA-IS; Nong, Zhang and Chan, 2009), in typed arrays: linear time, and about
// 6.5 bytes of memory a byte, the bytes themselves included. No terminator is needed: the end counts as smaller than any byte.

type Text = Uint8Array | Int32Array;

/** The end of each symbol's bucket, or its start. */
const bucketEdges = (counts: Int32Array, edge: 'start' | 'end'): Int32Array => {
  const edges = new Int32Array(counts.length);
  let sum = 0;
  for (let symbol = 0; symbol < counts.length; symbol += 1) {
    const count = counts[symbol] as number;
    edges[symbol] = edge === 'start' ? sum : sum + count;
    sum += count;
  }
  return edges;
};

/** 1: the suffix is smaller than the one behind it. */
const typesOf = (text: Text): Uint8Array => {
  const types = new Uint8Array(text.length);
  for (let at = text.length - 2; at >= 0; at -= 1) {
    const [own, next] = [text[at] as number, text[at + 1] as number];
    types[at] = own < next || (own === next && types[at + 1] === 1) ? 1 : 0;
  }
  return types;
};

const isLeftmost = (types: Uint8Array, at: number): boolean => at > 0 && types[at] === 1 && types[at - 1] === 0;

/** From the order of the leftmost small suffixes to that of all: first the large ones, from the left, then the small ones. */
const induce = (text: Text, order: Int32Array, types: Uint8Array, counts: Int32Array): void => {
  const last = text.length - 1;
  const starts = bucketEdges(counts, 'start');
  const symbol = text[last] as number;
  order[starts[symbol] as number] = last;
  starts[symbol] = (starts[symbol] as number) + 1;
  for (let index = 0; index <= last; index += 1) {
    const before = (order[index] as number) - 1;
    if (before < 0 || types[before] === 1) continue;
    const own = text[before] as number;
    const place = starts[own] as number;
    order[place] = before;
    starts[own] = place + 1;
  }
  const ends = bucketEdges(counts, 'end');
  for (let index = last; index >= 0; index -= 1) {
    const before = (order[index] as number) - 1;
    if (before < 0 || types[before] === 0) continue;
    const own = text[before] as number;
    const place = (ends[own] as number) - 1;
    order[place] = before;
    ends[own] = place;
  }
};

const isSamePart = (text: Text, types: Uint8Array, one: number, two: number): boolean => {
  for (let length = 0; ; length += 1) {
    const [left, right] = [one + length, two + length];
    if (left >= text.length || right >= text.length) return false;
    if (text[left] !== text[right] || types[left] !== types[right]) return false;
    if (length > 0 && (isLeftmost(types, left) || isLeftmost(types, right)))
      return isLeftmost(types, left) && isLeftmost(types, right);
  }
};

/** Gives each sorted part a number, equal parts the same; leaves the numbers, in the order of the text, at the end of `order`. */
const nameParts = (text: Text, types: Uint8Array, order: Int32Array): { parts: number; names: number } => {
  const length = text.length;
  let parts = 0;
  for (let index = 0; index < length; index += 1) {
    const at = order[index] as number;
    if (isLeftmost(types, at)) {
      order[parts] = at;
      parts += 1;
    }
  }
  order.fill(-1, parts);
  let names = 0;
  for (let index = 0; index < parts; index += 1) {
    const at = order[index] as number;
    if (index === 0 || !isSamePart(text, types, order[index - 1] as number, at)) names += 1;
    order[parts + (at >> 1)] = names - 1;
  }
  for (let from = length - 1, to = length - 1; from >= parts; from -= 1) {
    const name = order[from] as number;
    if (name < 0) continue;
    order[to] = name;
    to -= 1;
  }
  return { parts, names };
};

const sort = (text: Text, order: Int32Array, symbols: number): void => {
  const length = text.length;
  if (length <= 1) {
    order.fill(0);
    return;
  }
  const types = typesOf(text);
  const counts = new Int32Array(symbols);
  for (let at = 0; at < length; at += 1) counts[text[at] as number] = (counts[text[at] as number] as number) + 1;
  order.fill(-1);
  const ends = bucketEdges(counts, 'end');
  const place = (at: number): void => {
    const own = text[at] as number;
    const to = (ends[own] as number) - 1;
    order[to] = at;
    ends[own] = to;
  };
  for (let at = length - 1; at > 0; at -= 1) if (isLeftmost(types, at)) place(at);
  induce(text, order, types, counts);
  const { parts, names } = nameParts(text, types, order);
  const shorter = order.subarray(length - parts, length);
  const sorted = order.subarray(0, parts);
  if (names < parts) sort(shorter, sorted, names);
  else for (let index = 0; index < parts; index += 1) sorted[shorter[index] as number] = index;
  for (let at = 1, index = 0; at < length; at += 1) {
    if (!isLeftmost(types, at)) continue;
    shorter[index] = at;
    index += 1;
  }
  for (let index = 0; index < parts; index += 1) sorted[index] = shorter[sorted[index] as number] as number;
  order.fill(-1, parts);
  ends.set(bucketEdges(counts, 'end'));
  for (let index = parts - 1; index >= 0; index -= 1) {
    const at = order[index] as number;
    order[index] = -1;
    place(at);
  }
  induce(text, order, types, counts);
};

/** The starts of all suffixes, sorted. For at most 2 GiB less one byte. */
export const suffixArray = (bytes: Uint8Array): Int32Array => {
  const order = new Int32Array(bytes.length);
  sort(bytes, order, 256);
  return order;
};
