// What the conformance suite drives: the agent's own TUF client, trusted store and HTTP client, wired for one command. Besides
// the test schemes it differs in what a device takes from its image and its release: the first root, the time, the target.

import { readFile } from 'node:fs/promises';
import { createHttpClient, type HttpClient } from '../../agent/adapters/http.ts';
import { createMirrors } from '../../agent/adapters/mirrors.ts';
import { OtadError } from '../../agent/core/errors.ts';
import { fetchRequired, type MetadataFetcher, metadataLimits } from '../../verity/metadata-fetcher.ts';
import { isTarget } from '../../verity/target-search.ts';
import { readInitialRoot } from '../../verity/trusted-root.ts';
import { createTrustedStore, type TrustedFiles } from '../../verity/trusted-store.ts';
import { createTufClient, type TufClient } from '../../verity/tuf-client.ts';
import { storageName } from '../../verity/tuf-metadata.ts';
import type { Command } from './command-line.ts';
import { testSchemes } from './test-schemes.ts';

type Init = Extract<Command, { kind: 'init' }>;
type Refresh = Extract<Command, { kind: 'refresh' }>;
type Download = Extract<Command, { kind: 'download' }>;

/** Stands for the root in the image, which no update ever writes. */
const initialRootName = 'initial.root';
/** Whole in memory; the stored file is read back within the same bound. */
const targetBytesMax = 4 * 1024 * 1024;

const never = new AbortController().signal;

/** The client asks below `metadata/` and `targets/`; each may be anywhere. */
const fetcherBelow = (http: HttpClient, bases: Readonly<Record<string, string>>): MetadataFetcher => ({
  fetch: async (path, maxBytes, signal) => {
    const cut = path.indexOf('/');
    const base = bases[path.slice(0, cut)];
    if (base === undefined) {
      throw new OtadError('INTERNAL', { reason: 'no base URL for this path', path });
    }
    return await createMirrors(http, [base]).fetch(path.slice(cut + 1), maxBytes, signal);
  },
});

/** Unlike a device, which chains from its image's root, this must refuse a bad root itself: nothing else has checked it. */
const init = async ({ metadataDir, trustedRoot }: Init): Promise<void> => {
  const bytes = await readFile(trustedRoot);
  if (bytes.length > metadataLimits.rootBytesMax) {
    throw new OtadError('FILE_TOO_LARGE', { path: trustedRoot, maximum: metadataLimits.rootBytesMax });
  }
  readInitialRoot(bytes, testSchemes);
  const files = createTrustedStore(metadataDir);
  await files.write(initialRootName, bytes);
  await files.write('root.json', bytes);
};

const refreshed = async (fetcher: MetadataFetcher, files: TrustedFiles): Promise<TufClient> => {
  const initialRoot = await files.read(initialRootName);
  const client = createTufClient({ fetcher, files, initialRoot, schemes: testSchemes });
  await client.refresh(Math.floor(Date.now() / 1000), never);
  return client;
};

const refresh = async ({ metadataDir, metadataUrl }: Refresh, http: HttpClient): Promise<void> => {
  await refreshed(fetcherBelow(http, { metadata: metadataUrl }), createTrustedStore(metadataDir));
};

/** 5.7: a file that is there and still the signed one is not asked for again. */
const downloadOne = async (client: TufClient, fetcher: MetadataFetcher, folder: TrustedFiles, path: string) => {
  const target = await client.findTarget(path, never);
  const kept = await folder.read(storageName(path));
  if (kept !== null && isTarget(kept, target)) {
    return;
  }
  const bytes = await fetchRequired(fetcher, target.urlPath, Math.min(target.lengthBytes, targetBytesMax), never);
  if (!isTarget(bytes, target)) {
    throw new OtadError('TARGET_DIGEST_MISMATCH', { path });
  }
  await folder.write(storageName(path), bytes);
};

const download = async (command: Download, http: HttpClient): Promise<void> => {
  const fetcher = fetcherBelow(http, { metadata: command.metadataUrl, targets: command.targetBaseUrl });
  const client = await refreshed(fetcher, createTrustedStore(command.metadataDir));
  const folder = createTrustedStore(command.targetDir);
  for (const name of command.targetNames) {
    await downloadOne(client, fetcher, folder, name);
  }
};

/** Throws what stood in the way. */
export const runCommand = async (command: Command): Promise<void> => {
  const http = createHttpClient();
  try {
    switch (command.kind) {
      case 'init':
        return await init(command);
      case 'refresh':
        return await refresh(command, http);
      case 'download':
        return await download(command, http);
    }
  } finally {
    await http.close();
  }
};
