// A small service: says READY, two statuses, pings its watchdog as told, says STOPPING. Argument: 'alive' or 'stuck'.

import { inheritedSockets } from '../../../agent/adapters/inherited-descriptors.ts';
import { createNotify, watchdogIntervalMs } from '../../../agent/adapters/notify.ts';

const sockets = inheritedSockets(process.env, process.pid);
let asked = 0;
const notify = createNotify({
  descriptor: sockets.get('notify') ?? null,
  env: process.env,
  pid: process.pid,
  isAlive: () => {
    asked += 1;
    return process.argv[2] === 'alive';
  },
});

const finish = async (): Promise<void> => {
  await notify.close();
  notify.stopping();
  await notify.close();
};

notify.ready('idle\nREADY=0');
notify.status('downloading 1.1');
notify.status('downloading 1.1');
notify.status('verifying 1.1');
if (watchdogIntervalMs(process.env, process.pid) === null) await finish();
else {
  const poll = setInterval(() => {
    if (asked < 3) return;
    clearInterval(poll);
    void finish();
  }, 5);
}
