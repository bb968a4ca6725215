// The application of the reference gateway: samples the board, keeps the last readings, and tells them to whoever asks on
// /run/gateway-meter/readings.sock. It stands for what a real gateway does, and for how such an application is judged.

import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { loadavg, uptime } from 'node:os';

const socket = '/run/gateway-meter/readings.sock';
const everyMs = 1000;
const keptMax = 60;
const readings = [];

const sample = async () => {
  const memory = await readFile('/proc/meminfo', 'utf8');
  const available = Number(/^MemAvailable:\s+([0-9]+)/m.exec(memory)?.[1] ?? 0);
  readings.push({ uptimeS: Math.round(uptime()), load: loadavg()[0], memoryAvailableKiB: available });
  if (readings.length > keptMax) readings.shift();
};

const server = createServer((request, response) => {
  const body = JSON.stringify(request.url === '/newest' ? (readings.at(-1) ?? null) : readings);
  response.writeHead(200, { 'content-type': 'application/json' }).end(`${body}\n`);
});

await rm(socket, { force: true });
await sample();
setInterval(() => void sample(), everyMs);
server.listen(socket);
process.once('SIGTERM', () => process.exit(0));
