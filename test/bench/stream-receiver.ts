// One side of the streaming benchmark, as a process of its own: otad's HTTP client and install pipeline write an image into a
// slot. Prints the CPU seconds and the peak memory of the work, without what is loaded once.

import { createHttpClient } from '../../agent/adapters/http.ts';
import { anArtifact, anInstall, aRelease, createFileSlots, streamOnly } from '../support/slot-bench.ts';
import { residentMib } from './process-cost.ts';

const [url, folder, slotBytes, lengthBytes, sha256Hex, rootHex, saltHex] = process.argv.slice(2);

if (!url || !folder || !slotBytes || !lengthBytes || !sha256Hex || !rootHex || saltHex === undefined) {
  throw new Error('usage: stream-receiver URL FOLDER SLOT-BYTES LENGTH SHA256 ROOT SALT');
}

const length = Number(lengthBytes);
const artifact = anArtifact(new Uint8Array(4096), {
  lengthBytes: length,
  sha256Hex,
  verity: { algorithm: 'sha256', blockSizeBytes: 4096, saltHex, rootHex, hashOffsetBytes: length },
});
const http = createHttpClient();
const { devices } = createFileSlots(folder, Number(slotBytes));
const install = anInstall({
  slots: devices,
  source: {
    ...streamOnly,
    check: () => Promise.reject(new Error('not asked')),
    stream: (_artifact, offset, give, signal) => {
      const sink = (bytes: Uint8Array) => give(bytes, 'server');
      return http.streamRange(url, { offset, lengthTotal: length, sink, signal });
    },
  },
});
const signal = new AbortController().signal;
// A daemon has asked for metadata before: what its first request loads and compiles is part of its start.
await http.streamRange(url, { offset: 0, end: 4096, lengthTotal: length, sink: () => undefined, signal });
const before = process.cpuUsage();
await install.write({ slot: 'b', release: aRelease(artifact) }, signal, () => undefined);
const { user, system } = process.cpuUsage(before);
await http.close();
// Not `resourceUsage().maxRSS`: that one remembers the parent, which holds the whole image, from before the exec.
const peakMib = await residentMib('self', 'VmHWM');
process.stdout.write(`${JSON.stringify({ cpuS: (user + system) / 1e6, peakMib })}\n`);
