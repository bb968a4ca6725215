// A real little HTTP proxy on loopback: plain requests by absolute URL, others through CONNECT. Keeps what it was asked for;
// all names lead to 127.0.0.1, so that a test can use names that do not exist.

import { createServer, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface LoopbackProxy {
  readonly url: string;
  /** `GET http://host:port/path`, `CONNECT host:port`. */
  readonly asked: readonly string[];
}

/** Ends with the test. `credentials`, as `user:password`, are demanded where given. */
export const aProxy = async (t: TestContext, credentials?: string): Promise<LoopbackProxy> => {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const wanted = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
  const proxy = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    if (incoming.headers['proxy-authorization'] !== wanted) return void outgoing.writeHead(407).end();
    const { port, pathname } = new URL(incoming.url ?? '');
    const onward = request({ host: '127.0.0.1', port, path: pathname, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    onward.end();
  });
  proxy.on('connect', (incoming, client, head) => {
    asked.push(`CONNECT ${incoming.url}`);
    if (incoming.headers['proxy-authorization'] !== wanted) return void client.end('HTTP/1.1 407 No\r\n\r\n');
    const server = connect(Number(incoming.url?.split(':').pop()), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      server.write(head);
      server.pipe(client).pipe(server);
    });
    for (const socket of [server, client]) socket.on('error', () => [server, client].map((end) => end.destroy()));
    open.add(server);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    proxy.closeAllConnections();
    proxy.close();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
};
