// The way in for a technician's folder: `GET /v1/folder/<id>` on the control socket, upgraded to a connection on which otad
// does the asking. Whoever may order an install may offer what is installed; what it brings is verified like any server's.

import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { errorCodes, OtadError } from '../core/errors.ts';
import { errorBody } from './answer.ts';
import { folderIdPattern, folderProtocol } from './folder-protocol.ts';

export type ParkFolder = (id: string, socket: Socket) => void;

/** Open at once, used and unused. Four technicians have room, and the other doors of the socket too. */
const connectionsMax = 16;

const refuse = (socket: Duplex, error: OtadError): void => {
  const { httpStatus } = errorCodes[error.code];
  const body = JSON.stringify(errorBody(error.code, error.message, error.details));
  socket.end(
    `HTTP/1.1 ${httpStatus} ${STATUS_CODES[httpStatus]}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
};

/** The offer's id. Throws what is wrong with the request. */
const readRequest = ({ method, url = '', headers }: IncomingMessage, head: Buffer): string => {
  if (headers.origin !== undefined) throw new OtadError('FORBIDDEN', { problem: 'the request has an Origin header' });
  const id = /^\/v1\/folder\/([^/?]*)$/.exec(url)?.[1];
  if (method !== 'GET' || id === undefined) throw new OtadError('NOT_FOUND', { path: url.slice(0, 200) });
  if (!folderIdPattern.test(id)) throw new OtadError('BAD_REQUEST', { problem: 'the id is not a UUID' });
  if (headers.upgrade !== folderProtocol || head.length > 0) {
    throw new OtadError('BAD_REQUEST', { problem: `expected an upgrade to ${folderProtocol}, and nothing behind it` });
  }
  return id;
};

/** Opens the door on the server of the control socket. `close` ends what came in through it. */
export const openFolderDoor = (server: Server, park: ParkFolder): { close(): void } => {
  const open = new Set<Socket>();
  const enter = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // A client that goes away in the middle is no event.
    socket.on('error', () => socket.destroy());
    try {
      const id = readRequest(request, head);
      if (!(socket instanceof Socket) || open.size >= connectionsMax) throw new OtadError('BUSY', { connectionsMax });
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.setTimeout(0);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${folderProtocol}\r\n\r\n`);
      park(id, socket);
    } catch (error) {
      refuse(socket, error instanceof OtadError ? error : new OtadError('INTERNAL', {}, { cause: error }));
    }
  };
  server.on('upgrade', enter);
  return {
    close: () => {
      for (const socket of open) socket.destroy();
    },
  };
};
