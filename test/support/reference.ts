// Makes the reference pages that are tables of the code: errors, exit codes, API, boot writes, otapub.
// `node dist/test/support/reference.js` writes them; a test fails when a page differs from what would be written.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { metrics } from '../../agent/api/metrics.ts';
import { type OpenApiDocument, type Operation, openApiDocument } from '../../agent/api/openapi.ts';
import { commandDoc, commandNames, exitCodeMeanings } from '../../agent/cli/usage.ts';
import { type ErrorClass, errorCodes } from '../../agent/core/errors.ts';
import { attacksPage } from '../attack/attacks-page.ts';
import { type BootWrites, bootWriteRules, bootWrites } from '../contract/boot-writes.ts';
import { otapubPage } from '../publish/otapub-page.ts';
import { made, type Page, table } from './page.ts';

const classMeanings: Readonly<Record<ErrorClass, string>> = {
  transient: 'Tried again later by itself.',
  source: "The server's answer is wrong; tried again later, the running system is untouched.",
  release: 'The release is wrong; denied after a bounded number of attempts.',
  device: 'This gateway needs attention.',
  config: 'A setting is wrong.',
  policy: 'Allowed later, or with another command.',
  request: 'The caller asked wrongly, or too early.',
  bug: 'A fault of otad.',
};

const entries = Object.entries(errorCodes);

const errorsPage = (): string =>
  [
    '# Errors',
    '',
    made,
    '',
    'Every error has a code that does not change, a class that says what otad does about it, an HTTP status, and an exit code of `otactl`.',
    '`otactl why` and `otactl history` show the code in brackets.',
    '',
    ...Object.entries(classMeanings).flatMap(([cls, meaning]) => [
      `## ${cls}`,
      '',
      meaning,
      '',
      ...table(
        ['code', 'HTTP', 'exit', 'meaning'],
        entries
          .filter(([, entry]) => entry.class === cls)
          .map(([code, entry]) => [`\`${code}\``, String(entry.httpStatus), String(entry.exitCode), entry.sentence]),
      ),
      '',
    ]),
  ].join('\n');

const exitCodesPage = (): string =>
  [
    '# Exit codes of otactl',
    '',
    made,
    '',
    ...table(
      ['code', 'meaning', 'error codes'],
      exitCodeMeanings.map(([exit, meaning]) => [
        String(exit),
        meaning,
        entries
          .filter(([, entry]) => entry.exitCode === exit)
          .map(([code]) => `\`${code}\``)
          .join(' '),
      ]),
    ),
    '',
    'Commands that say more with them:',
    '',
    ...commandNames
      .filter((name) => commandDoc(name).exits.length > 0)
      .flatMap((name) => [`- \`otactl ${name}\``, ...commandDoc(name).exits.map((line) => `  - ${line}`)]),
    '',
  ].join('\n');

type Json = Readonly<Record<string, unknown>>;

const typeOf = (schema: Json): string => {
  if (typeof schema.$ref === 'string') return schema.$ref.split('/').at(-1) ?? '';
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((each) => typeOf(each as Json)).join(' or ');
  if (Array.isArray(schema.enum))
    return schema.enum.length > 12 ? 'string' : schema.enum.map((each) => `\`${each}\``).join(' ');
  if (schema.type === 'array') return `list of ${typeOf((schema.items ?? {}) as Json)}`;
  if (Array.isArray(schema.type)) return schema.type.join(' or ');
  return typeof schema.type === 'string' ? schema.type : 'any';
};

/** The properties of an object schema as rows, nested ones with dotted names. */
const propertyRows = (schema: Json, prefix = ''): string[][] => {
  const branches = Array.isArray(schema.anyOf) ? (schema.anyOf as Json[]) : [schema];
  return branches.flatMap((branch) => {
    if (branch.type === 'array') return propertyRows((branch.items ?? {}) as Json, `${prefix.replace(/\.$/, '')}[].`);
    const properties = (branch.properties ?? {}) as Record<string, Json>;
    return Object.entries(properties).flatMap(([name, property]) => [
      [`\`${prefix}${name}\``, typeOf(property), typeof property.description === 'string' ? property.description : ''],
      ...propertyRows(property, `${prefix}${name}.`),
    ]);
  });
};

const operationLines = (method: string, path: string, operation: Operation): string[] => {
  const body = operation.requestBody?.content as Record<string, { schema: Json }> | undefined;
  const schema = body?.['application/json']?.schema;
  const rows = schema === undefined ? [] : propertyRows(schema);
  const parameters = (operation.parameters ?? []).map((each) => {
    const { default: standard, minimum, maximum } = each.schema as Json;
    return `\`${each.name}\`: ${minimum} to ${maximum}, default ${standard}`;
  });
  return [
    `### ${method} ${path}`,
    '',
    operation.summary,
    ...(parameters.length === 0 ? [] : ['', `Query: ${parameters.join('; ')}.`]),
    ...(rows.length === 0 ? [] : ['', ...table(['body', 'type', ''], rows)]),
    '',
    `Answers: ${Object.entries(operation.responses)
      .map(([status, response]) => `${status} ${response.description}`)
      .join('; ')}.`,
    '',
  ];
};

const operationsOf = (document: OpenApiDocument, method: 'get' | 'post'): string[] =>
  Object.entries(document.paths).flatMap(([path, item]) => {
    const operation = item[method];
    return operation === undefined ? [] : operationLines(method.toUpperCase(), path, operation);
  });

const apiPage = (): string => {
  const document = openApiDocument('');
  return [
    '# REST API',
    '',
    made,
    '',
    ...document.info.description.split(/(?<=\.) /),
    'The OpenAPI document is served at `/v1/openapi.json`.',
    '',
    '    curl --unix-socket /run/otad/status.sock http://localhost/v1/status',
    '    sudo curl --unix-socket /run/otad/control.sock -X POST http://localhost/v1/check',
    '',
    '## Reading (both sockets, TCP)',
    '',
    ...operationsOf(document, 'get'),
    '## Commands (control socket)',
    '',
    'A command is answered as soon as it is accepted; what becomes of it is in the status and in the events.',
    '',
    ...operationsOf(document, 'post'),
    '## Shapes',
    '',
    ...Object.entries(document.components.schemas).flatMap(([name, schema]) => [
      `### ${name}`,
      '',
      ...table(['field', 'type', ''], propertyRows(schema)),
      '',
    ]),
    '## Metrics',
    '',
    ...table(
      ['name', 'type', 'meaning'],
      metrics.map(({ name, type, help }) => [`\`${name}\``, type, help]),
    ),
    '',
  ].join('\n');
};

const operationRows = ({ operation, writes }: BootWrites): string[][] =>
  writes.length === 0
    ? [[operation, '', 'nothing', '']]
    : writes.map(({ what, ifPowerGoesAfter }, index) => [
        index === 0 ? operation : '',
        String(index + 1),
        what,
        ifPowerGoesAfter,
      ]);

const bootWritesPage = (): string =>
  [
    '# What boot control writes',
    '',
    made,
    '',
    'Each operation is a sequence of writes, and power may go after each of them.',
    'The tables are compared with what the code really does: a test records the writes, cuts after each, and powers the device on.',
    '',
    ...[...new Set(bootWrites.map(({ bootloader }) => bootloader))].flatMap((name) => [
      `## ${name}`,
      '',
      ...(bootWriteRules[name] ?? []),
      '',
      ...table(
        ['operation', '', 'what is written', 'when power goes after it'],
        bootWrites.filter(({ bootloader }) => bootloader === name).flatMap(operationRows),
      ),
      '',
    ]),
  ].join('\n');

export const referencePages = (): readonly Page[] => [
  attacksPage(),
  { path: 'docs/reference/errors.md', text: errorsPage() },
  { path: 'docs/reference/exit-codes.md', text: exitCodesPage() },
  { path: 'docs/reference/api.md', text: apiPage() },
  { path: 'docs/reference/otapub.md', text: otapubPage() },
  { path: 'docs/reference/boot-writes.md', text: bootWritesPage() },
];

/** The tree that this file was built from: dist/test/support is three below it. */
export const treeRoot = (): string => fileURLToPath(new URL('../../..', import.meta.url));

const writePages = async (): Promise<void> => {
  for (const { path, text } of referencePages()) {
    const file = join(treeRoot(), path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await writePages();
