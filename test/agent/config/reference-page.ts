// docs/reference/config.md as the settings schema says it. Written with:
//   node dist/test/agent/config/reference-page.js > docs/reference/config.md

import { fileURLToPath } from 'node:url';
import { defaultConfigDirs } from '../../../agent/config/config.ts';
import { configJsonSchema, expectationOf, leaves } from '../../../agent/config/expectation.ts';

const units: readonly (readonly [number, string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
];

const inWords = (key: string, value: unknown): string => {
  if (!key.endsWith('Ms') || typeof value !== 'number') return '';
  const unit = units.find(([size]) => value % size === 0);
  return unit === undefined ? '' : ` (${value / unit[0]} ${unit[1]})`;
};

export const renderReference = (): string => {
  const root = configJsonSchema();
  const sections = leaves(root).map(([key, node]) => {
    const fallback =
      node.default === undefined
        ? 'none, must be given'
        : `\`${JSON.stringify(node.default)}\`${inWords(key, node.default)}`;
    return `### \`${key}\`\n\n${node.description ?? ''}\n\n- Accepts: ${expectationOf(node)}\n- Default: ${fallback}\n`;
  });
  return `# Settings

<!-- Made from agent/config/schema.ts by test/agent/config/reference-page.ts; a test compares both. -->

otad reads JSON files whose names end in \`.json\` from these folders:

${defaultConfigDirs.map((dir) => `- \`${dir}\``).join('\n')}

Files apply in the order of their names, wherever they lie.
Of files with the same name only the one in the later folder counts; linked to \`/dev/null\` it counts as empty.
Objects merge; lists and plain values are replaced whole.
A drop-in with an unknown key, a key given twice or a value out of range is left out; otad says so with the file, the key, what was expected and what was found, and does not reboot by itself until it is mended.
\`otad --check-config\` judges the same files before a restart.
\`otactl config\` shows each setting with the file it came from.

Keys are written with dots here: \`poll.intervalMs\` is \`{ "poll": { "intervalMs": 3600000 } }\` in a file.
Units stand last in the name.
The trusted root is not a setting: it is part of the image.

${sections.join('\n')}`;
};

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(renderReference());
