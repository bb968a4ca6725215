// A real server on sockets in a fresh directory, in front of a fake agent; gone with the test.

import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Api, type ApiOptions, createApi } from '../../../agent/api/server.ts';
import type { BootInspection } from '../../../agent/core/ports.ts';
import type { BootStatus, SlotName } from '../../../agent/core/types.ts';
import { FakeAgent } from './fake-agent.ts';

export const temporaryDirectory = async (t: TestContext): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), 'otad-api-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
};

export interface Opened {
  readonly agent: FakeAgent;
  readonly api: Api;
  readonly directory: string;
  readonly warnings: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[];
}

/** Boot control of a board with U-Boot, as an inspector would find it. */
export const anInspection = (status: BootStatus, over: Partial<BootInspection> = {}): BootInspection => {
  const place = (slot: SlotName) => ({
    device: `/dev/mmcblk0p${slot === 'a' ? 2 : 3}`,
    disk: '/dev/mmcblk0',
    label: `system_${slot}`,
    uuid: null,
    sizeBytes: 512 * 1024 * 1024,
  });
  return {
    bootloader: 'uboot',
    foundBy: '/etc/fw_env.config is there',
    status,
    slots: { a: place('a'), b: place('b') },
    problems: [],
    records: [{ name: 'BOOT_ORDER', value: 'A B' }],
    ...over,
  };
};

export const apiOptions = (agent: FakeAgent, directory: string, warnings: Opened['warnings'] = []): ApiOptions => ({
  control: agent,
  store: agent.store,
  clock: agent.clock,
  inspectBoot: async () => anInspection(agent.snapshot().boot),
  identity: { agentVersion: '0.1.0', compatible: 'acme-gw', channel: 'stable' },
  automation: { isAutoInstall: true, isAutoReboot: true },
  slotPaths: { a: '/dev/disk/by-partlabel/system_a', b: '/dev/disk/by-partlabel/system_b' },
  config: [
    { key: 'source.baseUrl', value: 'https://updates.example/gw', origin: '/etc/otad/config.d/10-site.json' },
    { key: 'poll.intervalMs', value: 3_600_000, origin: 'default' },
  ],
  configProblems: [],
  log: { info: () => {}, history: () => {}, warn: (message, fields) => void warnings.push({ message, fields }) },
  statusSocket: join(directory, 'status.sock'),
  controlSocket: join(directory, 'control.sock'),
  controlGid: null,
  http: null,
  hostNames: [],
});

export const openApi = async (
  t: TestContext,
  agent = new FakeAgent(),
  changes: Partial<ApiOptions> = {},
): Promise<Opened> => {
  const directory = await temporaryDirectory(t);
  const warnings: Opened['warnings'] = [];
  const api = await createApi({ ...apiOptions(agent, directory, warnings), ...changes });
  t.after(() => api.close());
  return { agent, api, directory, warnings };
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies whose shape other tests check.
  readonly json: any;
}

export interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** One exchange over a unix socket path or an http://host:port address. */
export const ask = (address: string, { method = 'GET', path, headers = {}, body }: Ask): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const where = address.startsWith('http:')
      ? { host: new URL(address).hostname.replace(/[[\]]/g, ''), port: new URL(address).port }
      : { socketPath: address };
    const call = request({ ...where, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => {
        const isJson = response.headers['content-type']?.startsWith('application/json') === true;
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson ? JSON.parse(text) : null,
        });
      });
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });

const json = { 'content-type': 'application/json' };

export const post = (address: string, path: string, body?: object): Promise<Answer> =>
  ask(address, { method: 'POST', path, ...(body === undefined ? {} : { headers: json, body: JSON.stringify(body) }) });
