// `otapub serve`: the repository on loopback, for trying it out.

import { once } from 'node:events';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { metadataFolder, publisherPaths } from '../repository/publisher-folder.ts';
import { createStaticServer } from '../serving/static-server.ts';
import { type Command, isFile, isFolder, parseWords, usageError, wholeNumber } from './command.ts';

const help = `usage: otapub serve DIR [options]

Serves DIR/repository over HTTP until it is interrupted; DIR may also be a copy of a repository/.
For trying things out; in the field any static web server or object store does.

options:
  --port N                 default 8080; 0 takes any free port
  --host ADDRESS           default 127.0.0.1
  --verbose                one line for each request
`;

const defaultPort = 8080;

/** The folder to serve. Never a publisher's folder itself: its keys would be on the network. */
const findRepository = async (folder: string): Promise<string> => {
  if (!(await isFolder(folder))) throw usageError(`there is no folder ${folder}`);
  const paths = publisherPaths(folder);
  for (const candidate of [paths.repository, paths.folder]) {
    if (await isFile(join(candidate, metadataFolder, 'timestamp.json'))) return candidate;
  }
  throw new OtadError('REPOSITORY_INVALID', { folder: paths.folder, problem: 'holds no metadata/timestamp.json' });
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { port: { type: 'string' }, host: { type: 'string' }, verbose: { type: 'boolean' } },
    { min: 1, max: 1, names: 'DIR' },
  );
  const served = await findRepository(positionals[0] ?? '');
  const server = await createStaticServer(served, {
    host: values.host,
    port: wholeNumber('port', values.port, { min: 0, max: 65_535 }) ?? defaultPort,
    onRequest: ({ method, path, status, bytes, range }) => {
      if (values.verbose === true)
        io.print(`${status} ${method} ${path} ${bytes} bytes${range === null ? '' : ` ${range}`}`);
    },
  });
  io.print(`Serving ${served} at ${server.url}`);
  if (!io.signal.aborted) await once(io.signal, 'abort');
  await server.close();
  return 0;
};

export const serveCommand: Command = { name: 'serve', summary: 'serve the repository for trying it out', help, run };
