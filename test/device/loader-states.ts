// States of an ESP in which the real systemd-boot and its model are started side by side.

import type { SlotName } from '../../agent/core/types.ts';
import type { LoaderVariable } from '../../bootctl/systemd-boot/efi-variables.ts';
import { encodeSlotEntry, type SlotEntry } from '../../bootctl/systemd-boot/slot-entry.ts';
import { anEntry } from '../bootctl/systemd-boot/machine.ts';

export interface LoaderState {
  readonly name: string;
  /** Text of each file of loader/entries. Every entry starts its own program. */
  readonly entries: Readonly<Record<string, string>>;
  /** Lines of loader.conf beside the timeout. */
  readonly settings?: string;
  readonly variables?: Partial<Readonly<Record<LoaderVariable, string>>>;
  readonly boots: number;
  readonly isReadOnly?: boolean;
  /** Not one free cluster; entries such that the directory's own is full as well. */
  readonly isFull?: boolean;
  /** Unified kernel images in EFI/Linux: name, and the text of .osrel. */
  readonly images?: Readonly<Record<string, string>>;
}

/** A slot's entry as otad writes it; the program is named after the slot and what the test calls it. */
const ours = (slot: SlotName, rank: number, change: Partial<SlotEntry> = {}, program: string = slot): string =>
  encodeSlotEntry(anEntry(slot, { rank, boot: { key: 'efi', path: `/programs/${program}.efi` }, ...change }), slot);

const plain = (program: string, lines = ''): string => `title ${program}\n${lines}efi /programs/${program}.efi\n`;

const a = ours('a', 1);
const b = ours('b', 2);
const good = { 'otad-a.conf': a };

/** As many short names as fill the 16 places of a cluster of 512 bytes, beside `.`, `..` and two entries of two places each. */
const crowd = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`X${index}.TXT`, 'x']));

export const loaderStates: readonly LoaderState[] = [
  { name: 'three tries, then the way back', entries: { ...good, 'otad-b+3-0.conf': b }, boots: 5 },
  { name: 'a counter without tries done', entries: { ...good, 'otad-b+1.conf': b }, boots: 2 },
  { name: 'two digits', entries: { ...good, 'otad-b+10-00.conf': b }, boots: 2 },
  { name: 'leading zeros', entries: { ...good, 'otad-b+02.conf': b }, boots: 2 },
  { name: 'both good, b newer', entries: { ...good, 'otad-b.conf': b }, boots: 1 },
  { name: 'both good, a newer', entries: { 'otad-a.conf': ours('a', 3), 'otad-b.conf': b }, boots: 1 },
  { name: 'b parked', entries: { ...good, 'otad-b+3-0.conf': ours('b', 2, { state: 'parked' }) }, boots: 1 },
  { name: 'b bad with tries left', entries: { ...good, 'otad-b+2-1.conf': ours('b', 2, { state: 'bad' }) }, boots: 1 },
  {
    name: 'only a bad one left',
    entries: { 'otad-a.conf': ours('a', 1, { state: 'parked' }), 'otad-b.conf': ours('b', 2, { state: 'bad' }) },
    boots: 1,
  },
  { name: 'both exhausted', entries: { 'otad-a+0-3.conf': a, 'otad-b+0-3.conf': b }, boots: 2 },
  {
    name: 'one exhausted, one bad',
    entries: { 'otad-a+0-3.conf': a, 'otad-b.conf': ours('b', 2, { state: 'bad' }) },
    boots: 1,
  },
  {
    name: 'a change of name that was cut before its one byte',
    entries: { ...good, 'otad-b+0-3.conf': b, 'otad-b+3-1.conf': ours('b', 3, { state: 'parked' }) },
    boots: 1,
  },
  {
    name: 'a change of name that was cut after its one byte',
    entries: { ...good, 'otad-b+0-3.conf': b, 'otad-b+3-1.conf': ours('b', 3, {}, 'b2') },
    boots: 2,
  },
  {
    name: 'confirmed, the counted name still there',
    entries: { ...good, 'otad-b+2-1.conf': b, 'otad-b.conf': ours('b', 3, {}, 'b2') },
    boots: 1,
  },
  {
    name: 'the name after the try is taken',
    entries: { ...good, 'otad-b+3-0.conf': b, 'otad-b+2-1.conf': ours('b', 2, {}, 'b2') },
    boots: 2,
  },
  { name: 'b lost', entries: good, boots: 1 },
  { name: 'b empty', entries: { ...good, 'otad-b+3-0.conf': '' }, boots: 1 },
  { name: 'b zeros', entries: { ...good, 'otad-b+3-0.conf': '\0'.repeat(512) }, boots: 1 },
  { name: 'b cut in its boot line', entries: { ...good, 'otad-b+3-0.conf': b.slice(0, 40) }, boots: 1 },
  { name: 'no counter that the loader reads', entries: { ...good, 'otad-b+x.conf': b }, boots: 1 },
  {
    name: 'a program that is not there',
    entries: { ...good, 'otad-b+3-0.conf': plain('missing', 'sort-key a\n') },
    boots: 1,
  },
  {
    name: 'the other one asked for once',
    entries: { ...good, 'otad-b+3-0.conf': b },
    variables: { LoaderEntryOneShot: 'otad-a*' },
    boots: 2,
  },
  {
    name: 'an exhausted one asked for once',
    entries: { ...good, 'otad-b+0-3.conf': b },
    variables: { LoaderEntryOneShot: 'otad-b*' },
    boots: 2,
  },
  {
    name: 'the default of a variable',
    entries: { ...good, 'otad-b+3-0.conf': b },
    variables: { LoaderEntryDefault: 'otad-a.conf' },
    boots: 1,
  },
  {
    name: 'a default that meets a counter',
    entries: { ...good, 'otad-b+3-0.conf': b },
    settings: 'default otad-?.conf\n',
    boots: 1,
  },
  {
    name: 'a default that meets all',
    entries: { ...good, 'otad-b+1-0.conf': b, 'zz.conf': plain('zz') },
    settings: 'default otad-*\n',
    boots: 2,
  },
  {
    name: 'entries of others before and after',
    entries: { ...good, 'debian.conf': plain('debian', 'sort-key debian\n'), 'zz.conf': plain('zz') },
    boots: 1,
  },
  {
    name: 'names without sort keys',
    entries: { 'gw-9.conf': plain('nine'), 'gw-10.conf': plain('ten'), 'gw-10~rc1.conf': plain('rc') },
    boots: 1,
  },
  {
    name: 'versions under one sort key',
    entries: {
      'x.conf': plain('one', 'sort-key gw\nversion 1.9\n'),
      'y.conf': plain('two', 'sort-key gw\nversion 1.10\n'),
    },
    boots: 1,
  },
  {
    name: 'a unified kernel image of somebody else',
    entries: { 'otad-a.conf': a },
    images: { 'gw+2-0.efi': 'ID=gw\nVERSION_ID=1\nPRETTY_NAME="Gateway"\n' },
    boots: 3,
  },
  { name: 'write-protected', entries: { ...good, 'otad-b+3-0.conf': b }, isReadOnly: true, boots: 2 },
  { name: 'full, names of one length', entries: { ...good, ...crowd, 'otad-b+3-0.conf': b }, isFull: true, boots: 2 },
];
