// The publisher's folder: where its parts lie and its few settings.
//   keys/        private keys (move root's away after init)
//   repository/  the plain files that a static server offers; nothing else of the folder may be served
//   root.json    the trusted root that goes into images
//   requests/    what waits for signatures from offline machines
//   otapub.json  name and lifetimes
// Must never hold a secret outside keys/.

import { lstat, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf } from '../durable-file.ts';

/** Below the base URL, as devices ask for them. */
export const metadataFolder = 'metadata';
export const targetsFolder = 'targets';

export interface PublisherPaths {
  readonly folder: string;
  readonly keys: string;
  /** What the base URL serves. */
  readonly repository: string;
  readonly metadata: string;
  readonly targets: string;
  readonly root: string;
  /** Requests that wait for signatures from offline machines. */
  readonly requests: string;
  readonly settings: string;
}

export const publisherPaths = (folder: string): PublisherPaths => {
  const top = resolve(folder);
  const repository = join(top, 'repository');
  return {
    folder: top,
    keys: join(top, 'keys'),
    repository,
    metadata: join(repository, metadataFolder),
    targets: join(repository, targetsFolder),
    root: join(top, 'root.json'),
    requests: join(top, 'requests'),
    settings: join(top, 'otapub.json'),
  };
};

const lifetimeSchema = z
  .number()
  .int()
  .min(1)
  .max(36_500 * 86_400);

/** How long a signature of each role stands, in seconds. */
export const lifetimesSchema = z.strictObject({
  root: lifetimeSchema,
  targets: lifetimeSchema,
  snapshot: lifetimeSchema,
  timestamp: lifetimeSchema,
});
export type Lifetimes = z.infer<typeof lifetimesSchema>;

export const settingsSchema = z.strictObject({
  schema: z.literal(1),
  name: z.string().min(1).max(100),
  lifetimesS: lifetimesSchema,
});
export type PublisherSettings = z.infer<typeof settingsSchema>;

const daysToS = (days: number): number => days * 86_400;

// Root lives longer than a gateway may lie in a box: when it expires, devices that never saw a newer one stop updating.
export const defaultLifetimesS: Lifetimes = {
  root: daysToS(3650),
  targets: daysToS(730),
  snapshot: daysToS(365),
  timestamp: daysToS(30),
};

export const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** `; did you mean vendor?` for the `vendor/repository` of a publisher's folder, else nothing. */
export const publisherHint = async (folder: string): Promise<string> => {
  const above = join(folder, '..');
  const isPublished = basename(resolve(folder)) === 'repository' && (await isThere(publisherPaths(above).settings));
  return isPublished ? `; did you mean ${above}?` : '';
};

const describeNoSettings = async (folder: string): Promise<string> => {
  if (!(await isThere(folder))) return 'there is no such folder; otapub init makes one';
  return `missing${(await publisherHint(folder)) || '; run otapub init first'}`;
};

export const readSettings = async (paths: PublisherPaths): Promise<PublisherSettings> => {
  try {
    return settingsSchema.parse(JSON.parse(await readFile(paths.settings, 'utf8')));
  } catch (cause) {
    const isMissing = errorCodeOf(cause) === 'ENOENT';
    const problem = isMissing ? await describeNoSettings(paths.folder) : 'not the settings of otapub';
    throw new OtadError('REPOSITORY_INVALID', { path: paths.settings, problem }, { cause });
  }
};
