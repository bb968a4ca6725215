// Serves a folder in a process of its own, so that its CPU does not count, and tells its parent where.

import { createStaticServer } from '../../publish/serving/static-server.ts';

const server = await createStaticServer(process.argv[2] ?? '.');
process.send?.(server.url);
