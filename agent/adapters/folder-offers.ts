// Folders that technicians offer as the source of one install: connections that otactl has opened and on which otad asks for
// files. otad never opens such a folder itself: it may not see it, and a path given to it would be read with its rights
// instead of the technician's. An offer ends with its connections; what comes over them is trusted no more than a server.

import type { Socket } from 'node:net';
import { OtadError } from '../core/errors.ts';
import type { OfferedFolder } from '../core/types.ts';
import { createHttpClient, defaultHttpSettings, type HttpClient } from './http.ts';
import type { Connections } from './http-dispatcher.ts';
import type { Traffic } from './http-traffic.ts';

const offersMax = 4;
/** Connections of one offer that wait to be used; also the most that are used at once. */
const parkedMax = 8;
/** otactl opens a new connection for each one that was used up; one that is gone opens none. */
const returnMs = 2000;

export interface FolderOffers {
  /** Takes over an idle connection of the offer `id`; ends it when there are too many. */
  park(id: string, socket: Socket): void;
  /** A client whose every request goes to the offer, whatever the host of the URL. */
  open(folder: OfferedFolder): HttpClient;
  close(): void;
}

const parkedEvents = ['end', 'close', 'error', 'data'] as const;

type Take = (socket: Socket) => void;

interface Offer {
  /** Each with the listener that watches it meanwhile. */
  readonly parked: Map<Socket, () => void>;
  readonly waiting: Set<Take>;
}

const gone = (folder: OfferedFolder): OtadError => new OtadError('FOLDER_GONE', { folder: folder.path });

/** Loads undici with the first request, as the client of the servers does. */
const openConnections =
  (take: () => Promise<Socket>) =>
  async (_settings: unknown, traffic: Traffic): Promise<Connections> => {
    const { Pool } = await import('undici');
    const pool = new Pool('http://folder.invalid', {
      connect: (_options, done) => {
        take().then(
          (socket) => {
            traffic.add(socket);
            done(null, socket);
          },
          (error: Error) => done(error, null),
        );
      },
      connections: parkedMax,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return {
      dispatcherFor: () => pool,
      isCurrent: async () => true,
      retire: () => pool.close(),
      close: () => pool.destroy(),
    };
  };

export const createFolderOffers = (): FolderOffers => {
  const offers = new Map<string, Offer>();

  const offerOf = (id: string): Offer => {
    const known = offers.get(id) ?? { parked: new Map<Socket, () => void>(), waiting: new Set<Take>() };
    offers.set(id, known);
    return known;
  };
  const forget = (id: string, { parked, waiting }: Offer): void => {
    if (parked.size === 0 && waiting.size === 0) offers.delete(id);
  };

  const park = (id: string, socket: Socket): void => {
    if (!offers.has(id) && offers.size >= offersMax) {
      socket.destroy();
      return;
    }
    const offer = offerOf(id);
    const [first] = offer.waiting;
    if (first !== undefined) {
      offer.waiting.delete(first);
      first(socket);
      forget(id, offer);
      return;
    }
    if (offer.parked.size >= parkedMax) {
      socket.destroy();
      return;
    }
    // Nobody has asked anything: whatever comes now, its end included, ends the connection.
    const drop = (): void => {
      socket.destroy();
      offer.parked.delete(socket);
      forget(id, offer);
    };
    offer.parked.set(socket, drop);
    for (const event of parkedEvents) socket.on(event, drop);
    socket.resume();
  };

  const take = (folder: OfferedFolder): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const offer = offerOf(folder.id);
      const [first] = offer.parked;
      if (first !== undefined) {
        const [socket, drop] = first;
        offer.parked.delete(socket);
        socket.pause();
        for (const event of parkedEvents) socket.off(event, drop);
        forget(folder.id, offer);
        resolve(socket);
        return;
      }
      const taking: Take = (late) => {
        clearTimeout(timer);
        resolve(late);
      };
      const timer = setTimeout(() => {
        offer.waiting.delete(taking);
        forget(folder.id, offer);
        reject(gone(folder));
      }, returnMs);
      offer.waiting.add(taking);
    });

  return {
    park,
    open: (folder) =>
      createHttpClient(
        defaultHttpSettings,
        openConnections(() => take(folder)),
      ),
    close: () => {
      for (const { parked } of [...offers.values()]) for (const drop of [...parked.values()]) drop();
    },
  };
};
