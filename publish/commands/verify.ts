// `otapub verify`: a folder or a URL, checked as a device would.

import { readFile, stat } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import { publisherPaths } from '../repository/publisher-folder.ts';
import { createFolderReader, createHttpReader } from '../serving/repository-reader.ts';
import { exitCodeOf, type VerificationReport, verifyRepository } from '../serving/verification.ts';
import { type Command, formatBytes, formatTable, parseWords, usageError } from './command.ts';

const help = `usage: otapub verify DIR|URL [options]

Runs the update client of a device over the repository and checks every file of it: signatures,
expiry, lengths, digests, release documents and the dm-verity root of every image.
DIR is a publisher's folder or a copy of its repository/. Exit code 5 when anything is wrong.

options:
  --root FILE              the trusted root.json (default DIR/root.json; required for a URL)
  --json                   print the report as JSON
`;

const isFolder = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  );

const isUrl = (source: string): boolean => /^https?:\/\//.test(source);

const openSource = async (source: string) => {
  if (isUrl(source)) {
    if (!URL.canParse(source)) throw usageError(`'${source}' is not a URL`);
    return { reader: createHttpReader(source.endsWith('/') ? source : `${source}/`), defaultRoot: null };
  }
  const paths = publisherPaths(source);
  const isPublisher = await isFolder(paths.repository);
  return { reader: createFolderReader(isPublisher ? paths.repository : paths.folder), defaultRoot: paths.root };
};

const describe = (report: VerificationReport): readonly string[] => [
  ...formatTable(
    report.files.map(({ kind, path, note, lengthBytes, problem }) => [
      problem === null ? 'ok' : 'WRONG',
      kind,
      path,
      lengthBytes === null ? '' : formatBytes(lengthBytes),
      note,
    ]),
  ),
  ...report.files.flatMap(({ path, problem }) => (problem === null ? [] : [`${path}: ${problem}`])),
];

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { root: { type: 'string' }, json: { type: 'boolean' } },
    { min: 1, max: 1, names: 'DIR or URL' },
  );
  const { reader, defaultRoot } = await openSource(positionals[0] ?? '');
  const rootFile = values.root ?? defaultRoot;
  if (rootFile === null) throw usageError('--root is required for a URL: the root must not come from the server');
  const root = await readFile(rootFile).catch((cause: unknown) => {
    throw new OtadError('TRUST_ROOT_MISSING', { path: rootFile, hint: 'give --root FILE' }, { cause });
  });
  const report = await verifyRepository({ reader, root, nowMs: io.nowMs(), signal: io.signal });
  if (values.json === true) io.print(JSON.stringify(report));
  else for (const line of describe(report)) io.print(line);
  return exitCodeOf(report);
};

export const verifyCommand: Command = { name: 'verify', summary: 'check a repository as a device would', help, run };
