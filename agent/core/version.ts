// Order of versions after the UAPI version format specification (https://uapi-group.org/specifications/specs/version_format_specification/):
// never a comparison of strings.

const digits = /^[0-9]*/;
const letters = /^[a-zA-Z]*/;

const prefixOf = (text: string, pattern: RegExp): string => pattern.exec(text)?.[0] ?? '';

const sign = (difference: number): number => Math.sign(difference);

const compareText = (left: string, right: string): number => (left === right ? 0 : left < right ? -1 : 1);

const compareNumbers = (left: string, right: string): number => {
  const [a, b] = [left.replace(/^0+/, ''), right.replace(/^0+/, '')];
  return sign(a.length - b.length) || compareText(a, b);
};

/** -1 when `left` is older than `right`, 0 when neither is, 1 when newer. Characters without a meaning are skipped. */
export const compareVersions = (left: string, right: string): number => {
  let a = left;
  let b = right;
  while (true) {
    a = a.replace(/^[^a-zA-Z0-9~^.-]+/, '');
    b = b.replace(/^[^a-zA-Z0-9~^.-]+/, '');
    // A pre-release mark makes older even than the end of the text.
    if (a.startsWith('~') !== b.startsWith('~')) return a.startsWith('~') ? -1 : 1;
    if (a === '' || b === '') return sign(a.length - b.length);
    const separator = ['~', '-', '^', '.'].find((mark) => a.startsWith(mark) || b.startsWith(mark));
    if (separator !== undefined) {
      if (!a.startsWith(separator)) return 1;
      if (!b.startsWith(separator)) return -1;
      a = a.slice(1);
      b = b.slice(1);
      continue;
    }
    const pattern = digits.exec(a)?.[0] || digits.exec(b)?.[0] ? digits : letters;
    const [x, y] = [prefixOf(a, pattern), prefixOf(b, pattern)];
    // A number is newer than letters at the same place.
    if (x === '' || y === '') return x === '' ? -1 : 1;
    const order = pattern === digits ? compareNumbers(x, y) : compareText(x, y);
    if (order !== 0) return order;
    a = a.slice(x.length);
    b = b.slice(y.length);
  }
};
