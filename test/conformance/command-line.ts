// The command line that the public TUF conformance suite speaks: init, refresh and download with their options.

import { parseArgs } from 'node:util';

export type Command =
  | { readonly kind: 'init'; readonly metadataDir: string; readonly trustedRoot: string }
  | { readonly kind: 'refresh'; readonly metadataDir: string; readonly metadataUrl: string }
  | {
      readonly kind: 'download';
      readonly metadataDir: string;
      readonly metadataUrl: string;
      /** In the order given. */
      readonly targetNames: readonly string[];
      readonly targetDir: string;
      readonly targetBaseUrl: string;
    };

export const usage = `usage: tuf-conformance --metadata-dir DIR init ROOT
       tuf-conformance --metadata-dir DIR --metadata-url URL refresh
       tuf-conformance --metadata-dir DIR --metadata-url URL --target-name NAME... --target-dir DIR
                       --target-base-url URL download`;

const options = {
  'metadata-dir': { type: 'string' },
  'metadata-url': { type: 'string' },
  'target-name': { type: 'string', multiple: true },
  'target-dir': { type: 'string' },
  'target-base-url': { type: 'string' },
} as const;

/** Null when a command or one of its options is missing, or when something is left over. */
export const parseCommand = (args: readonly string[]): Command | null => {
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch {
    return null;
  }
  const { values, positionals } = parsed;
  const [kind, trustedRoot, ...rest] = positionals;
  const metadataDir = values['metadata-dir'];
  const metadataUrl = values['metadata-url'];
  if (metadataDir === undefined || rest.length > 0) {
    return null;
  }
  if (kind === 'init') {
    return trustedRoot === undefined ? null : { kind, metadataDir, trustedRoot };
  }
  if (metadataUrl === undefined || trustedRoot !== undefined) {
    return null;
  }
  if (kind === 'refresh') {
    return { kind, metadataDir, metadataUrl };
  }
  const { 'target-name': targetNames = [], 'target-dir': targetDir, 'target-base-url': targetBaseUrl } = values;
  if (kind !== 'download' || targetNames.length === 0 || targetDir === undefined || targetBaseUrl === undefined) {
    return null;
  }
  return { kind, metadataDir, metadataUrl, targetNames, targetDir, targetBaseUrl };
};
