// Entry point of test/tuf-conformance.

import { runConformance } from './run.ts';

process.exitCode = await runConformance(process.argv.slice(2), console.error);
