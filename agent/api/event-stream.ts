// Server-sent events: the status, at once and after changes, to a bounded number of clients. A burst of changes becomes
// one event per interval, and a client that does not read misses events instead of growing a buffer; it is dropped when
// it has not read anything between two heartbeats.

import type { ServerResponse } from 'node:http';
import { OtadError } from '../core/errors.ts';
import type { ApiContext } from './context.ts';
import { statusBody } from './status.ts';

export const streamClientsMax = 8;
const intervalMs = 200;
const heartbeatMs = 15_000;

interface Client {
  readonly response: ServerResponse;
  /** The socket takes no more for now. */
  isBlocked: boolean;
  /** Something changed while it was blocked. */
  isBehind: boolean;
  /** A whole heartbeat long it took nothing. */
  isSilent: boolean;
}

type Timer = { cancel(): void };

export class EventStream {
  readonly #context: ApiContext;
  readonly #clients = new Set<Client>();
  #unsubscribe: (() => void) | null = null;
  #pause: Timer | null = null;
  #heartbeat: Timer | null = null;
  #isDirty = false;

  constructor(context: ApiContext) {
    this.#context = context;
  }

  /** Takes the response over. Throws BUSY when there are too many clients. */
  add(response: ServerResponse): void {
    if (this.#clients.size >= streamClientsMax) throw new OtadError('BUSY', { eventClientsMax: streamClientsMax });
    const client: Client = { response, isBlocked: false, isBehind: false, isSilent: false };
    // Before the first client is counted: a snapshot that throws must leave nothing behind.
    const first = this.#event();
    this.#clients.add(client);
    response.on('close', () => this.#remove(client));
    response.on('error', () => this.#remove(client));
    response.on('drain', () => {
      client.isBlocked = false;
      client.isSilent = false;
      if (client.isBehind) this.#send(client, this.#event());
    });
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    this.#send(client, first);
    this.#unsubscribe ??= this.#context.control.subscribe(() => this.#changed());
    this.#heartbeat ??= this.#scheduleHeartbeat();
  }

  /** Ends all streams. Whoever keeps up with reading still gets the newest status: it may be how the order of a client ended. */
  close(): void {
    if (this.#isDirty) this.#publish();
    for (const { response, isBlocked } of [...this.#clients]) {
      if (isBlocked) response.destroy();
      else response.end();
    }
    this.#clients.clear();
    this.#stop();
  }

  #event(): string {
    const { control, clock } = this.#context;
    return `event: status\ndata: ${JSON.stringify(statusBody(control.snapshot(), clock.now(), this.#context))}\n\n`;
  }

  #send(client: Client, text: string): void {
    client.isBehind = client.isBlocked;
    if (!client.isBlocked) client.isBlocked = !client.response.write(text);
  }

  #changed(): void {
    this.#isDirty = true;
    if (this.#pause === null) this.#publish();
  }

  #publish(): void {
    this.#isDirty = false;
    const text = this.#event();
    for (const client of this.#clients) this.#send(client, text);
    this.#pause?.cancel();
    this.#pause = this.#context.clock.setTimer(intervalMs, () => {
      this.#pause = null;
      if (this.#isDirty) this.#publish();
    });
  }

  #scheduleHeartbeat(): Timer {
    return this.#context.clock.setTimer(heartbeatMs, () => {
      for (const client of this.#clients) {
        if (client.isBlocked && client.isSilent) client.response.destroy();
        else if (client.isBlocked) client.isSilent = true;
        else client.isBlocked = !client.response.write(': alive\n\n');
      }
      this.#heartbeat = this.#clients.size === 0 ? null : this.#scheduleHeartbeat();
    });
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    // Nobody looks: an idle gateway pays nothing for the stream.
    if (this.#clients.size === 0) this.#stop();
  }

  #stop(): void {
    this.#unsubscribe?.();
    this.#pause?.cancel();
    this.#heartbeat?.cancel();
    this.#unsubscribe = null;
    this.#pause = null;
    this.#heartbeat = null;
    this.#isDirty = false;
  }
}
