// The REST API on its control socket, byte for byte: every answer is one of the documented statuses in its documented shape,
// never a bug's, and a command that the agent is given says what the request's body says.

import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandRoutes, readRoutes } from '../../../agent/api/route.ts';
import { acceptedSchema, errorSchema } from '../../../agent/api/schema.ts';
import { type Api, createApi } from '../../../agent/api/server.ts';
import type { Command, Reply } from '../../../agent/core/events.ts';
import { FakeAgent } from '../../agent/api/fake-agent.ts';
import { apiOptions } from '../../agent/api/open-api.ts';
import { hasDoubleMembers, readJson } from '../json-oracle.ts';
import { Finding, type FuzzTarget, type Judge } from '../target.ts';

const answerBytesMax = 1 << 20;
/** An answer that takes longer has hung: the request was sent whole and the sending side closed. */
const answerMs = 20_000;

/** Sends the bytes, closes the sending side, and gives what comes back. A stream of events is left after its first bytes. */
const exchange = (path: string, bytes: Uint8Array): Promise<string> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = connect({ path, allowHalfOpen: true }, () => socket.end(bytes));
    const finish = (): void => {
      socket.destroy();
      resolve(Buffer.concat(pieces).toString('latin1'));
    };
    socket.setTimeout(answerMs, () => {
      socket.destroy();
      reject(new Finding('no answer, and the connection stays open'));
    });
    socket.on('data', (piece) => {
      pieces.push(piece);
      const isStream = piece.includes('text/event-stream');
      if (isStream || pieces.reduce((sum, each) => sum + each.length, 0) > answerBytesMax) finish();
    });
    // The server may close while we still send: that is an answer too.
    socket.on('error', finish);
    socket.on('end', finish);
  });

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Takes apart what came back: more than one answer where the bytes held more than one request. */
const answersIn = (text: string): Answer[] => {
  const answers: Answer[] = [];
  for (let rest = text; rest !== ''; ) {
    const head = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
    if (head === null) throw new Finding(`not an HTTP answer: ${rest.slice(0, 200)}`);
    const headers = (head[2] ?? '').toLowerCase();
    const length = /content-length: (\d+)/.exec(headers)?.[1];
    const isStream = headers.includes('text/event-stream');
    // An answer to HEAD has a length and no body: the next answer, if any, follows at once.
    const isBare = length === undefined || rest.startsWith('HTTP/1.1 ', head[0].length);
    const end = head[0].length + (isBare ? (isStream ? rest.length : 0) : Number(length));
    answers.push({ status: Number(head[1]), body: isStream ? '' : rest.slice(head[0].length, end) });
    rest = rest.slice(end);
  }
  return answers;
};

const statuses = [200, 202, 400, 403, 404, 409, 422];

const judgeAnswer = ({ status, body }: Answer, isHead: boolean): string => {
  if (status === 100 || (isHead && body === '')) return `${status}`;
  if (status === 500 || status < 200) throw new Finding(`answered ${status}: ${body.slice(0, 300)}`);
  if (status >= 400) {
    const parsed = errorSchema.safeParse(JSON.parse(body));
    if (!parsed.success) throw new Finding(`an error of another shape: ${body.slice(0, 300)}`);
    if (!statuses.includes(status)) throw new Finding(`answered ${status} ${parsed.data.error.code}`);
    return `${status} ${parsed.data.error.code}`;
  }
  if (status === 202 && !acceptedSchema.safeParse(JSON.parse(body)).success) {
    throw new Finding(`accepted in another shape: ${body.slice(0, 300)}`);
  }
  return `accepted ${status}`;
};

/** What the body of a single request says, by a reading of its own; null: the bytes are not that plain. */
const plainBody = (input: Uint8Array): object | null => {
  const text = Buffer.from(input).toString('utf8');
  const split = /^POST \/v1\/[a-z-]+ HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n(\{.*\})$/s.exec(text);
  // Without a length HTTP has no body there, and with another the rest is a request of its own.
  if (split === null || !text.includes(`\r\ncontent-length: ${Buffer.byteLength(split[1] ?? '')}\r\n`)) return null;
  if (text.match(/content-length|transfer-encoding/gi)?.length !== 1) return null;
  try {
    return readJson(Buffer.from(split[1] ?? '')) as object;
  } catch {
    return null;
  }
};

const judgeCommand = (command: Command, input: Uint8Array): void => {
  const body = plainBody(input) as { reason?: unknown; releaseId?: unknown } | null;
  if (body === null) return;
  if (hasDoubleMembers(Buffer.from(input).toString('utf8').split('\r\n\r\n')[1] ?? '')) return;
  const told = 'reason' in command ? command.reason : 'releaseId' in command ? command.releaseId : null;
  const text = body.reason ?? body.releaseId ?? null;
  // The one liberty that is taken with a text.
  const said = typeof text === 'string' ? text.trim() : text;
  if (told !== said)
    throw new Finding(`the agent was told ${JSON.stringify(command)}, the body says ${JSON.stringify(body)}`);
};

/** Says another thing to the agent than the request said. */
class GarblingAgent extends FakeAgent {
  override submit(command: Command): Promise<Reply> {
    return super.submit('reason' in command ? { ...command, reason: command.reason?.slice(1) ?? null } : command);
  }
}

/** Agents are replaced after so many requests, so that no state of theirs grows without bound. */
const requestsPerAgent = 500;

const serve = (createAgent: () => FakeAgent): { readonly judge: Judge; readonly close: () => Promise<void> } => {
  let open: { api: Api; agent: FakeAgent; folder: string; bugs: readonly unknown[]; left: number } | null = null;
  const close = async (): Promise<void> => {
    await open?.api.close();
    if (open !== null) await rm(open.folder, { recursive: true });
    open = null;
  };
  const ready = async () => {
    if (open !== null && open.left > 0) return open;
    await close();
    const folder = await mkdtemp(join(tmpdir(), 'otad-fuzz-'));
    const agent = createAgent();
    const options = apiOptions(agent, folder);
    const bugs: unknown[] = [];
    const api = await createApi({ ...options, log: { ...options.log, warn: (...entry) => void bugs.push(entry) } });
    open = { api, agent, folder, bugs, left: requestsPerAgent };
    return open;
  };
  const judge: Judge = async (input) => {
    const server = await ready();
    server.left -= 1;
    const before = server.agent.commands.length;
    const text = await exchange(server.api.addresses.control, input);
    if (server.bugs.length > 0) throw new Finding(`logged as a bug: ${JSON.stringify(server.bugs)}`);
    const isHead = Buffer.from(input).toString('latin1').includes('HEAD');
    const outcomes = answersIn(text).map((answer) => judgeAnswer(answer, isHead));
    const commands = server.agent.commands.slice(before);
    if (commands.length === 1 && commands[0] !== undefined) judgeCommand(commands[0], input);
    return `${outcomes.join(', ') || 'closed'}${commands.map(({ command }) => ` ${command}`).join('')}`;
  };
  return { judge, close };
};

const get = (path: string): Uint8Array =>
  Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
const postOf = (path: string, body: string): Uint8Array =>
  Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );

export const restTarget = (): FuzzTarget => {
  const real = serve(() => new FakeAgent());
  const garbled = serve(() => new GarblingAgent());
  return {
    name: 'rest',
    seeds: [
      ...readRoutes.map(({ path }) => get(path)),
      get('/v1/history?limit=3'),
      get('/'),
      get('/v1/metrics'),
      get('/v1/events'),
      ...commandRoutes.map(({ path }) => postOf(path, '{}')),
      postOf('/v1/hold', '{"reason":"measuring the modem"}'),
      postOf('/v1/rollback', '{"reason":"drivers are broken"}'),
      postOf('/v1/undeny', '{"releaseId":"gw-1.2"}'),
    ],
    dictionary: [
      'GET ',
      'POST ',
      'HEAD ',
      'PUT ',
      'OPTIONS ',
      'HTTP/1.0',
      'HTTP/2.0',
      '/v1/',
      '?limit=',
      '%00',
      '%2f',
      '..',
      'origin: http://x\r\n',
      'content-length: 5\r\n',
      'transfer-encoding: chunked\r\n',
      'content-type: text/plain\r\n',
      'expect: 100-continue\r\n',
      'upgrade: h2c\r\n',
      '\r\n\r\n',
      '\n\n',
      '5\r\n{"a":\r\n0\r\n\r\n',
      '{"reason":',
      '"reason":"x",',
      '__proto__',
      '"constructor":{}',
      'null',
      '[]',
      'host: \r\n',
    ],
    // Mostly with the length that the body really has: a wrong one ends in the parser.
    mend: (input) => {
      const text = Buffer.from(input).toString('latin1');
      const at = text.indexOf('\r\n\r\n');
      if (at < 0) return input;
      return Buffer.from(text.replace(/content-length: \d+/, `content-length: ${text.length - at - 4}`), 'latin1');
    },
    judge: real.judge,
    canary: { bug: 'the agent is told another reason than the request gives', judge: garbled.judge },
    close: async () => {
      await real.close();
      await garbled.close();
    },
  };
};
