// `otapub serve`: the repository on loopback, for trying it out.

import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { publisherPaths } from '../publisher-folder.ts';
import { createStaticServer } from '../static-server.ts';
import { type Command, parseWords, wholeNumber } from './command.ts';

const help = `usage: otapub serve DIR [options]

Serves DIR/repository (or DIR itself, when it has none) over HTTP until it is interrupted.
For trying things out; in the field any static web server or object store does.

options:
  --port N                 default 8080; 0 takes any free port
  --host ADDRESS           default 127.0.0.1
  --verbose                one line for each request
`;

const defaultPort = 8080;

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { port: { type: 'string' }, host: { type: 'string' }, verbose: { type: 'boolean' } },
    { min: 1, max: 1, names: 'DIR' },
  );
  const { folder, repository } = publisherPaths(positionals[0] ?? '');
  const isPublisher = await stat(repository).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
  const server = await createStaticServer(isPublisher ? repository : folder, {
    host: values.host,
    port: wholeNumber('port', values.port, { min: 0, max: 65_535 }) ?? defaultPort,
    onRequest: ({ method, path, status, bytes, range }) => {
      if (values.verbose === true) io.print(`${status} ${method} ${path} ${bytes} bytes${range === null ? '' : ` ${range}`}`);
    },
  });
  io.print(`Serving ${isPublisher ? repository : folder} at ${server.url}`);
  if (!io.signal.aborted) await once(io.signal, 'abort');
  await server.close();
  return 0;
};

export const serveCommand: Command = { name: 'serve', summary: 'serve the repository for trying it out', help, run };
