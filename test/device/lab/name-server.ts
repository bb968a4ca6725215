// The name server that a gateway of the lab finds: knows one name, and that no other exists. Only what a resolver has to be
// told to believe it (RFC 1035, section 4): the question again, and an address where there is one.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const headerBytes = 12;
const typeA = 1;
const lifetimeS = 60;
/** Response, authoritative, recursion desired and available. */
const answered = 0x8580;
const noSuchName = 3;

interface Question {
  readonly name: string;
  readonly type: number;
  /** Where it ends in the message. */
  readonly end: number;
}

/** The first question of a message; null: it has none that is whole. */
const readQuestion = (message: Buffer): Question | null => {
  const labels: string[] = [];
  let at = headerBytes;
  for (let length = message[at]; length !== undefined && length !== 0; length = message[at]) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  if (end > message.length) return null;
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end };
};

/** What is said to a question; null: nothing, as it is none. Pure. */
export const answerName = (message: Buffer, name: string, address: string): Buffer | null => {
  const question = readQuestion(message);
  if (question === null) return null;
  const isKnown = question.name === name;
  const hasAddress = isKnown && question.type === typeA;
  const header = Buffer.alloc(headerBytes);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(answered | (isKnown ? 0 : noSuchName), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(hasAddress ? 1 : 0, 6);
  const said = [header, message.subarray(headerBytes, question.end)];
  // The name by its place in the question, type A, class IN, how long it holds, four bytes.
  if (hasAddress)
    said.push(
      Buffer.from([0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, lifetimeS, 0, 4, ...address.split('.').map(Number)]),
    );
  return Buffer.concat(said);
};

export interface NameServer {
  /** UDP, on loopback. */
  readonly port: number;
  close(): void;
}

export const openNameServer = async (name: string, address: string): Promise<NameServer> => {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const answer = answerName(message, name, address);
    if (answer !== null) socket.send(answer, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, close: () => void socket.close() };
};
