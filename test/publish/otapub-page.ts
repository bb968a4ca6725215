// The reference page of `otapub`: what each command says of itself, and the exit codes.

import { commands } from '../../publish/command-line.ts';
import { made, table } from '../support/page.ts';

export const otapubPage = (): string =>
  [
    '# otapub',
    '',
    made,
    '',
    "The publisher's tool. Each command explains itself with `--help`; this is the same text.",
    'The guides show them at work: [publishing](../guides/publish.md), [key ceremony](../guides/key-ceremony.md).',
    '',
    ...commands.flatMap(({ name, help }) => [`## otapub ${name}`, '', '```', help.trimEnd(), '```', '']),
    '## Exit codes',
    '',
    ...table(
      ['code', 'meaning'],
      [
        ['0', 'done'],
        ['1', 'error'],
        ['2', 'nothing to do'],
        ['3', 'refused: it contradicts what is published, or would lock devices out'],
        ['4', 'waits for a person: signatures are missing, or something expires soon'],
        ['5', 'verification failed, or something has expired'],
        ['6', 'busy: another otapub works in this folder, or the port is taken'],
        ['64', 'wrong usage'],
      ],
    ),
    '',
  ].join('\n');
