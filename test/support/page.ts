// What a page of the documentation is that is made from the code, and how its tables look.

export interface Page {
  /** From the top of the tree. */
  readonly path: string;
  readonly text: string;
}

/** Stands on every page that is made from the code. */
export const made = '<!-- Made by `node dist/test/support/reference.js`; a test compares it with the code. -->';

/** Columns are padded as the formatter wants them. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${widths.map((width, i) => (row[i] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(cells[0] ?? []), line(widths.map((width) => '-'.repeat(width))), ...cells.slice(1).map(line)];
};
