// The key-value lines of loader.conf and of Type #1 entries, read as systemd-boot reads them. Pure.

export interface Line {
  readonly key: string;
  readonly value: string;
}

/** Larger files are no entries: the loader would read them, but nobody writes them. */
export const loaderFileBytesMax = 65536;

/** Text up to the first NUL, which ends it for the loader: what a cut leaves behind a file may be zeros. */
export const textOf = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8');
};

/** Lines with a key and a value, in order; comments and keys without a value are left out. */
export const parseLines = (text: string): readonly Line[] =>
  text.split(/[\n\r]/).flatMap((raw) => {
    const line = raw.replace(/^[ \t]+|[ \t]+$/g, '');
    const match = /^([^# \t][^ \t]*)[ \t]+(.*)$/.exec(line);
    if (match === null) return [];
    const [, key = '', value = ''] = match;
    return [{ key, value: /^".*"$/.test(value) && value.length > 1 ? value.slice(1, -1) : value }];
  });

/** The value of the last line with this key, as the loader takes it. */
export const lastValue = (lines: readonly Line[], key: string): string | null =>
  lines.filter((line) => line.key === key).at(-1)?.value ?? null;
