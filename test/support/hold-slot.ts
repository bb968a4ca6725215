// A process that opens slot b, says so, and holds it until it is killed. Arguments: the paths of slots a and b.

import { createSlotDevices } from '../../agent/adapters/slot-device.ts';

const [a, b] = process.argv.slice(2);
if (a === undefined || b === undefined) throw new Error('two paths, please');
await createSlotDevices({ paths: { a, b }, bootedSlot: () => 'a' }).open('b', new AbortController().signal);
process.stdout.write('held\n');
setInterval(() => {}, 60_000);
