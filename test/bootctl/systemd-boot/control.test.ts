import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { OtadError } from '../../../agent/core/errors.ts';
import type { BootControl } from '../../../agent/core/ports.ts';
import type { BootEvidence } from '../../../bootctl/model.ts';
import { createSystemdBootControl, type SystemdBootOptions } from '../../../bootctl/systemd-boot/control.ts';
import { encodeVariable, type LoaderVariable, variableFile } from '../../../bootctl/systemd-boot/efi-variables.ts';
import { startLoader } from '../../../bootctl/systemd-boot/firmware.ts';
import { contractVerity } from '../../contract/boot-control.ts';
import {
  anEntry,
  createEspFiles,
  type EspFiles,
  powerOnFiles,
  putEntry,
  putFile,
  putStart,
  verityOf,
} from './machine.ts';
import { peImage } from './pe-image.ts';

const run = promisify(execFile);
const signal = (): AbortSignal => new AbortController().signal;

let files: EspFiles;
let facts: BootEvidence;
let control: BootControl;

const openControl = (change: Partial<SystemdBootOptions> = {}): BootControl =>
  createSystemdBootControl({ ...files, evidence: async () => facts, ...change });

const entries = async (): Promise<Readonly<Record<string, string>>> => {
  const folder = join(files.espPath, 'loader/entries');
  const found: Record<string, string> = {};
  for (const name of (await readdir(folder)).sort()) found[name] = await readFile(join(folder, name), 'utf8');
  return found;
};

const names = async (): Promise<readonly string[]> => Object.keys(await entries());

const setVariable = (name: LoaderVariable, text: string): Promise<void> =>
  putFile('/', variableFile(files.efivarsPath, name), encodeVariable(text));

const refusal = async (step: Promise<unknown>): Promise<OtadError> => {
  try {
    await step;
  } catch (error) {
    if (error instanceof OtadError) return error;
    throw error;
  }
  throw new Error('it was not refused');
};

/** The step is refused with the code, and not a byte of the entries is another. */
const refusesWholly = async (code: string, step: () => Promise<unknown>): Promise<OtadError> => {
  const before = await entries();
  const error = await refusal(step());
  assert.equal(error.code, code);
  assert.deepEqual(await entries(), before);
  return error;
};

const activateB = (): Promise<void> => control.activate('b', 3, contractVerity('b'), signal());

const bootB = async (): Promise<void> => {
  await activateB();
  facts = (await powerOnFiles(files)) ?? facts;
  assert.equal(facts.slot, 'b');
};

beforeEach(async () => {
  files = await createEspFiles();
  await putStart(files.espPath);
  facts = { slot: 'a', root: verityOf('a').rootHex, evidence: ['test'] };
  control = openControl();
});
afterEach(() => files.close());

describe('an ESP that cannot be used', () => {
  it('that is not mounted is an error that names the folder', async () => {
    await rm(join(files.espPath, 'loader'), { recursive: true });
    const error = await refusal(control.status(signal()));
    assert.equal(error.code, 'BOOT_ESP_UNUSABLE');
    assert.equal(error.details.path, files.espPath);
  });

  it('of another disk is refused with both names', async () => {
    await setVariable('LoaderDevicePartUUID', 'AAAA');
    const other = openControl({ partUuidOf: async () => 'bbbb' });
    const error = await refusesWholly('BOOT_ESP_UNUSABLE', () => other.activate('b', 3, contractVerity('b'), signal()));
    assert.deepEqual([error.details.booted, error.details.mounted], ['aaaa', 'bbbb']);
    await openControl({ partUuidOf: async () => 'aaaa' }).status(signal());
  });

  const child = fileURLToPath(new URL('./step-child.js', import.meta.url));
  const withFault = async (step: string, fault: string): Promise<string> => {
    const strace = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwrite64', '-e', `inject=pwrite64:${fault}`];
    // One thread, because strace counts calls a thread.
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
    const { stdout } = await run(
      'strace',
      [...strace, process.execPath, child, files.espPath, files.efivarsPath, step],
      { env },
    );
    return stdout.trim();
  };

  it('that is read-only is an error and nothing changed', async () => {
    const before = await entries();
    assert.equal(await withFault('activate', 'error=EROFS'), 'BOOT_ENV_UNWRITABLE');
    assert.deepEqual(await entries(), before);
  });

  it('that is full is an error and nothing is left behind', async () => {
    const before = await entries();
    // The first one is refused; so is the rename's write in place after it.
    assert.equal(await withFault('activate', 'error=ENOSPC'), 'DISK_FULL');
    assert.equal(Object.keys(await entries()).length, Object.keys(before).length);
    assert.equal((await control.status(signal())).primary, 'a');
  });

  it('that is full lets a trial be confirmed all the same', async () => {
    await bootB();
    assert.equal(await withFault('confirm', 'error=ENOSPC:when=1'), 'done');
    assert.deepEqual(await names(), ['otad-a.conf', 'otad-b.conf']);
    assert.equal((await control.status(signal())).slots.b.state, 'good');
  });
});

describe('a choice that somebody pinned', () => {
  it('by bootctl set-default is refused before anything is written', async () => {
    await setVariable('LoaderEntryDefault', 'otad-a.conf');
    const error = await refusesWholly('BOOT_CHOICE_PINNED', activateB);
    assert.match(error.message, /LoaderEntryDefault.*bootctl set-default/);
  });

  it('in loader.conf is refused, and one that meets both slots is none', async () => {
    await putFile(files.espPath, 'loader/loader.conf', 'timeout 0\ndefault otad-a*\n');
    await refusesWholly('BOOT_CHOICE_PINNED', activateB);
    await putFile(files.espPath, 'loader/loader.conf', 'timeout 0\ndefault otad-*\n');
    await activateB();
    assert.equal((await powerOnFiles(files))?.slot, 'b');
  });

  it("by another system's entry that comes first is refused with its name", async () => {
    await putFile(files.espPath, 'loader/entries/rescue.conf', 'sort-key 0\nlinux /otad/a/linux\n');
    const error = await refusesWholly('BOOT_CHOICE_PINNED', activateB);
    assert.equal(error.details.starts, 'rescue.conf');
  });

  it('does not keep a slot from being invalidated', async () => {
    await activateB();
    await setVariable('LoaderEntryDefault', 'otad-b*');
    await control.invalidate('b', signal());
    assert.equal((await powerOnFiles(files))?.slot, 'a');
  });

  it('for one boot is taken back before the reboot that otad asks for', async () => {
    await activateB();
    await setVariable('LoaderEntryOneShot', 'otad-a.conf');
    await control.prepareReboot(signal());
    assert.equal((await powerOnFiles(files))?.slot, 'b');
  });
});

describe('what is written', () => {
  it('never changes the length of an entry, and keeps what others wrote in it', async () => {
    await bootB();
    await control.markGood('b', signal());
    await control.markBad('b', signal());
    await control.invalidate('a', signal()).catch(() => undefined);
    for (const text of Object.values(await entries())) {
      assert.equal(text.length, 512);
      assert.match(text, /\noptions quiet panic=10\n/);
    }
  });

  it('parks and marks bad with one byte of one file', async () => {
    const changed = async (step: () => Promise<void>): Promise<number> => {
      const before = await entries();
      await step();
      const after = await entries();
      assert.deepEqual(Object.keys(after), Object.keys(before));
      return Object.keys(after).reduce((sum, name) => {
        const [old, fresh] = [before[name] ?? '', after[name] ?? ''];
        return sum + [...fresh].filter((letter, index) => letter !== old[index]).length;
      }, 0);
    };
    await activateB();
    assert.equal(await changed(() => control.markBad('b', signal())), 1);
    await control.markGood('b', signal());
    assert.equal(await changed(() => control.invalidate('b', signal())), 1);
  });

  it('keeps the width of a counter', async () => {
    await rm(join(files.espPath, 'loader/entries/otad-b.conf'));
    await putEntry(files.espPath, 'otad-b+01-00.conf', 'b', anEntry('b', { state: 'parked', rank: 1 }));
    await activateB();
    assert.deepEqual(await names(), ['otad-a.conf', 'otad-b+03-00.conf']);
  });

  it('never lets a try be renamed to a name that is there', async () => {
    await bootB();
    const before = await names();
    await activateB();
    const [, old = '', fresh = ''] = /\+(\d+)-(\d+)/.exec(before[1] ?? '') ?? [];
    const [, left = '', done = ''] = /\+(\d+)-(\d+)/.exec((await names())[1] ?? '') ?? [];
    assert.notEqual(Number(left) + Number(done), Number(old) + Number(fresh));
  });

  it('is nothing where systemd-bless-boot was first', async () => {
    await bootB();
    await rename(
      join(files.espPath, 'loader/entries/otad-b+2-1.conf'),
      join(files.espPath, 'loader/entries/otad-b.conf'),
    );
    const before = await entries();
    await control.markGood('b', signal());
    assert.deepEqual(await entries(), before);
    assert.equal((await control.status(signal())).slots.b.state, 'good');
  });

  it('stays bad when systemd-bless-boot comes after', async () => {
    await bootB();
    await control.markBad('b', signal());
    await rename(
      join(files.espPath, 'loader/entries/otad-b+2-1.conf'),
      join(files.espPath, 'loader/entries/otad-b.conf'),
    );
    const status = await control.status(signal());
    assert.deepEqual([status.slots.b.state, status.primary], ['bad', 'a']);
    assert.equal((await powerOnFiles(files))?.slot, 'a');
  });

  it('is refused for a unified kernel image that carries another root', async () => {
    const boot = { key: 'efi', path: '/otad/b/uki.efi' } as const;
    await putEntry(files.espPath, 'otad-b.conf', 'b', anEntry('b', { state: 'parked', rank: 1, boot }));
    const image = (words: string): Promise<void> =>
      putFile(files.espPath, 'otad/b/uki.efi', peImage({ '.cmdline': words, '.osrel': 'ID=gw\n' }));
    const root = `otad.root=${verityOf('b').rootHex}`;
    for (const words of [
      'quiet',
      `otad.slot=b otad.root=${'0'.repeat(63)}1`,
      `otad.slot=a ${root}`,
      `${root} otad.slot=b otad.hashoffset=1`,
    ]) {
      await image(words);
      await refusesWholly('BOOT_ENTRY_MISSING', activateB);
    }
    await image(`otad.slot=b ${root}`);
    await activateB();
    assert.equal((await control.status(signal())).roots?.b, verityOf('b').rootHex);
  });
});

describe('what a technician reads', () => {
  const evidence = async (): Promise<string> => (await control.status(signal())).evidence.join('\n');

  it('names each entry with its state, tries and rank', async () => {
    await activateB();
    assert.match(await evidence(), /slot b is otad-b\+3-0\.conf \(live, 3 tries left, 0 done, rank 3\)/);
  });

  it('says when the loader could not count', async () => {
    await activateB();
    await startLoader({ ...files, isWritable: false });
    facts = { slot: 'b', root: verityOf('b').rootHex, evidence: [] };
    assert.match(await evidence(), /did not count this boot of otad-b\+3-0\.conf/);
    await startLoader(files);
    assert.doesNotMatch(await evidence(), /did not count/);
  });

  it('says when the loader started another entry than the kernel runs', async () => {
    await startLoader(files);
    facts = { slot: 'b', root: null, evidence: [] };
    assert.match(await evidence(), /started otad-a\.conf, the kernel that it runs slot b/);
  });

  it('says that an entry was made anew from its copy', async () => {
    await control.status(signal());
    await rm(join(files.espPath, 'loader/entries/otad-b.conf'));
    assert.match(await evidence(), /entry of slot b was lost and is made anew/);
    await activateB();
    assert.equal((await powerOnFiles(files))?.slot, 'b');
  });

  it('says how to help itself where a slot has neither entry nor copy', async () => {
    await rm(join(files.espPath, 'loader/entries/otad-b.conf'));
    assert.match(await evidence(), /slot b has no entry.*guide/);
    assert.equal((await refusal(activateB())).code, 'BOOT_ENTRY_MISSING');
    await assert.rejects(access(join(files.espPath, 'loader/entries/otad-b.conf')));
  });
});
