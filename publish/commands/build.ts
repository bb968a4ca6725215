// `otapub build`: layers to an image file, without publishing it.

import { nameExpectation } from '../../agent/core/name.ts';
import { buildImage } from '../images/image-build.ts';
import { compatibleSchema, versionExpectation, versionSchema } from '../images/os-release.ts';
import { type Compression, compressions } from '../images/squashfs.ts';
import { releaseIdOf } from '../releases/release-plan.ts';
import { type Command, type CommandIo, formatBytes, parseWords, required, usageError, wholeNumber } from './command.ts';

const help = `usage: otapub build LAYER... --output IMG --compatible X --release-version V --sequence N

Lays the layers over each other (later ones win) and packs them into a squashfs image.
A layer is a folder with files/ and, if needed, layer.json:
  { "name": "app", "base": "../os", "remove": ["usr/share/doc"], "modes": "plain" }
Plain modes are 0755 and 0644 whatever the umask of whoever checked the layer out.
Equal layers and options give equal bytes. The image names itself in /usr/lib/os-release.

options:
  --output IMG             the image file; replaced when it is there
  --compatible X           product family, such as acme-gw1
  --release-version V      version of the release
  --sequence N             its place in the order of releases, 1 or more
  --compression C          zstd (default) or gzip
  --json                   print the result as JSON
environment:
  SOURCE_DATE_EPOCH        seconds since 1970 for all times in the image (default 0)
`;

export const parseCompression = (text: string | undefined): Compression | undefined => {
  if (text === undefined) return undefined;
  const found = compressions.find((compression) => compression === text);
  if (found === undefined) throw usageError(`--compression must be one of ${compressions.join(', ')}, not '${text}'`);
  return found;
};

/** squashfs keeps times in 32 bits. */
const epochMaxS = 2 ** 32 - 1;

export const sourceDateEpochS = (io: CommandIo): number | undefined => {
  const text = io.environment.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) > epochMaxS) {
    throw usageError(`SOURCE_DATE_EPOCH must be seconds since 1970 below 2^32, not '${text}'`);
  }
  return Number(text);
};

const checked = (name: string, schema: typeof versionSchema, value: string, expected: string): string => {
  if (!schema.safeParse(value).success) throw usageError(`--${name} takes ${expected}, not '${value}'`);
  return value;
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    {
      output: { type: 'string', short: 'o' },
      compatible: { type: 'string' },
      'release-version': { type: 'string' },
      sequence: { type: 'string' },
      compression: { type: 'string' },
      json: { type: 'boolean' },
    },
    { min: 1, max: Number.MAX_SAFE_INTEGER, names: 'LAYER' },
  );
  const given = required(values, ['output', 'compatible', 'release-version', 'sequence']);
  const compatible = checked('compatible', compatibleSchema, given.compatible, nameExpectation);
  const version = checked('release-version', versionSchema, given['release-version'], versionExpectation);
  const sequence = wholeNumber('sequence', given.sequence, { min: 1, max: Number.MAX_SAFE_INTEGER }) ?? 1;
  const built = await buildImage({
    layers: positionals,
    outputPath: given.output,
    identity: { releaseId: releaseIdOf(compatible, version), compatible, version, sequence },
    compression: parseCompression(values.compression),
    sourceDateEpochS: sourceDateEpochS(io),
    signal: io.signal,
  });
  if (values.json === true) io.print(JSON.stringify(built));
  else
    io.print(
      `${built.path}: ${formatBytes(built.lengthBytes)}, ${built.files} files, layers ${built.layers.join(', ')}`,
    );
  return 0;
};

export const buildCommand: Command = { name: 'build', summary: 'build a squashfs image from layers', help, run };
