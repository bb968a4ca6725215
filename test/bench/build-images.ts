// A process of its own for building the images of the wire rows: it puts Debian 13's programs first on its path, which must
// not be those that the benchmark measures with. Prints what stands in images.json.

import { resolve } from 'node:path';
import { prepareImages } from './image-pair.ts';

const projectFolder = resolve(import.meta.dirname, '../../..');
const images = await prepareImages({
  projectFolder,
  folder: resolve(projectFolder, '.bench'),
  onStep: (line) => process.stderr.write(`bench: ${line}\n`),
});
process.stdout.write(`${JSON.stringify(images)}\n`);
