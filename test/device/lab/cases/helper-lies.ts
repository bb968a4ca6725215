// The helper that flips believes nothing: what a broken-into agent can ask of it and write into the slot that is its to write.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import {
  blockSizeBytes,
  recordAreaBytes,
  recordAreaOffsetBytes,
  recordOffsetBytes,
} from '../../../../agent/core/slot-layout.ts';
import type { SlotRecord } from '../../../../agent/core/types.ts';
import { createTreeBuilder } from '../../../../verity/dm-verity.ts';
import { decodeRecord, encodeRecord } from '../../../../verity/slot-record.ts';
import type { CaseContext, LabCase } from '../case.ts';
import type { Guest } from '../guest.ts';
import { flipByte, versionOf } from '../journey.ts';

const asAgent = 'setpriv --reuid=otad --regid=otad --clear-groups --no-new-privs';
const stranger = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
const helperSocket = '/run/otad-boot/socket';
const liar = '/run/lab/lie.mjs';
const slotPath = '/dev/disk/by-partlabel/system_b';

/** Says one line to the helper and prints what it answers. */
const liarText = `import { connect } from "node:net";
const socket = connect("${helperSocket}", () => socket.write(process.argv[2] + "\\n"));
socket.on("data", (bytes) => process.stdout.write(bytes));
socket.on("error", (error) => console.log(error.code));`;

const activate = (verity: unknown) => ({ verb: 'activate', slot: 'b', tries: 3, verity, metadata: [] });

/** What needs no more than the socket, and the code of the refusal. */
const lies = ({ verity }: SlotRecord): readonly (readonly [code: string, request: unknown])[] => [
  ['VERITY_ROOT_MISMATCH', activate({ ...verity, rootHex: 'a'.repeat(64) })],
  ['SLOT_RUNNING', { ...activate(verity), slot: 'a' }],
  ['SLOT_RUNNING', { verb: 'invalidate', slot: 'a', metadata: [] }],
  ['BAD_REQUEST', { verb: 'markGood', slot: 'b' }],
  ['BAD_REQUEST', { verb: 'shell', command: 'id' }],
  ['BAD_REQUEST', { ...activate(verity), slot: '../a' }],
];

const readRecord = async (guest: Guest): Promise<SlotRecord> => {
  const bytes = Buffer.from(await guest.ok(`tail -c ${recordAreaBytes} ${slotPath} | base64 -w 0`), 'base64');
  const found = decodeRecord(bytes);
  assert.ok(found !== null, 'the slot has a record');
  return found.record;
};

/** Into the slot, as otad may: with the rights of nobody else. */
const writeSlot = async (guest: Guest, bytes: Uint8Array, offsetBytes: number): Promise<void> => {
  const packed = gzipSync(bytes).toString('base64');
  const place = `of=${slotPath} bs=${blockSizeBytes} seek=${offsetBytes / blockSizeBytes} conv=notrunc,fsync status=none`;
  await guest.ok(`echo ${packed} | base64 -d | gzip -d | ${asAgent} dd ${place}`);
};

/** An image that nobody signed, with a tree and a record of which each word is true. */
const writeOwnImage = async (guest: Guest, signed: SlotRecord, sizeBytes: number): Promise<SlotRecord> => {
  const image = Buffer.alloc(4 * blockSizeBytes, 'a system of my own ');
  const { saltHex } = signed.verity;
  const builder = createTreeBuilder({ saltHex }, image.length);
  builder.update(image);
  const { rootHex, bytes: tree } = builder.finish();
  const sha256Hex = createHash('sha256').update(image).digest('hex');
  const record: SlotRecord = {
    ...{ ...signed, imageLengthBytes: image.length, imageSha256Hex: sha256Hex },
    ...{ writtenBytes: image.length, prefixSha256Hex: sha256Hex },
    verity: { ...signed.verity, rootHex, hashOffsetBytes: image.length },
  };
  await writeSlot(guest, Buffer.concat([image, tree]), 0);
  // Newer than any that the slot has had.
  const serial = 1_000_000;
  await writeSlot(guest, encodeRecord(record, serial), recordOffsetBytes(sizeBytes, serial));
  return record;
};

const bootState = async (guest: Guest): Promise<unknown> => {
  const { booted, primary, records, slots } = await guest.boot();
  return { booted, primary, records, states: slots.map(({ name, state }) => [name, state]) };
};

const run = async ({ guest }: CaseContext): Promise<void> => {
  await guest.write(liar, liarText);
  const lie = async (code: string, request: unknown): Promise<void> => {
    const text = JSON.stringify(request);
    const answer = await guest.ok(`${asAgent} node ${liar} '${text}'`);
    assert.match(answer, new RegExp(`"ok":false,"code":"${code}"`), `${text}: ${answer}`);
  };
  const signed = await readRecord(guest);
  const before = await bootState(guest);
  for (const [code, request] of lies(signed)) await lie(code, request);

  // The release that was signed, with one byte of another.
  const middleBytes = signed.imageLengthBytes / 2;
  await flipByte(guest, slotPath, middleBytes);
  await lie('SLOT_READBACK_MISMATCH', activate(signed.verity));
  await flipByte(guest, slotPath, middleBytes);

  const sizeBytes = Number(await guest.ok(`blockdev --getsize64 $(readlink -f ${slotPath})`));
  const { verity } = await writeOwnImage(guest, signed, sizeBytes);
  await lie('RELEASE_UNSIGNED', activate(verity));

  // A slot that says nothing of itself.
  await writeSlot(guest, Buffer.alloc(recordAreaBytes), recordAreaOffsetBytes(sizeBytes));
  await lie('RELEASE_UNSIGNED', activate(verity));

  assert.deepEqual(await bootState(guest), before);
  assert.equal((await guest.status()).version, versionOf('factory'));
  assert.match(await guest.ok(`${stranger} node ${liar} '{"verb":"status"}'`), /EACCES/);
};

export const helperLies: LabCase = {
  name: 'helper-lies',
  claim: 'the helper refuses what a broken-into agent asks of it or writes into the slot, and changes nothing',
  from: 'activated',
  isSmoke: false,
  run,
};
