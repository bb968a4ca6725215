import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { readElfNeeds } from '../../image/elf.ts';

const run = promisify(execFile);

test('what a program needs is what the loader of the system finds for it', async () => {
  const path = process.execPath;
  const { loader, libraries } = readElfNeeds(await readFile(path), path);
  assert.match(loader ?? '', /^\/lib.*\/ld-linux.*\.so\.[0-9]$/);
  const { stdout } = await run('ldd', [path]);
  assert.ok(libraries.length > 0);
  for (const library of libraries) assert.ok(stdout.includes(library), `${library} in\n${stdout}`);
});

test('a script is refused', () => {
  assert.throws(() => readElfNeeds(Buffer.from('#!/bin/sh\n'.padEnd(200)), 'tool'), { code: 'IMAGE_UNUSABLE' });
});
