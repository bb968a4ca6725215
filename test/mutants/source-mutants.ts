// Known bugs of where updates come from: folders, client certificates, proxies, limits, portals.

import { one, type SuiteMutant } from './mutant.ts';

const adapter = (name: string): string => `agent/adapters/${name}.js`;
const suite = (name: string): readonly string[] => [`agent/adapters/${name}.test.js`];
const installs = ['agent/runtime/install-sources.test.js'];
const folderFiles = 'agent/cli/folder-files.js';
const folderDoor = 'agent/api/folder-door.js';

export const sourceMutants: readonly SuiteMutant[] = [
  {
    name: 'folder-link-followed-out',
    edits: one(
      folderFiles,
      'if (!served.some((name) => real.startsWith(join(folder, name) + sep)))',
      "if (real === '')",
    ),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-gone-is-no-news',
    edits: one(folderFiles, "await stat(join(folder, 'metadata', 'timestamp.json'));", 'await stat("/");'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-falls-to-servers',
    edits: one('agent/runtime/chosen-source.js', 'if (folder === undefined)', 'if (folder !== null)'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-checked-at-the-servers',
    edits: one(adapter('release-source'), 'asked = from;', 'void from;'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-speaks-unasked',
    edits: one(adapter('folder-offers'), "['end', 'close', 'error', 'data']", "['end', 'close', 'error']"),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-offers-without-end',
    edits: one(adapter('folder-offers'), 'if (offer.parked.size >= parkedMax) {', 'if (offer.parked.size < 0) {'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-door-answers-pages',
    edits: one(folderDoor, 'if (headers.origin !== undefined)', 'if (headers.origin === null)'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-door-on-every-socket',
    edits: one('agent/api/server.js', "door === 'control' && options.parkFolder", 'options.parkFolder'),
    suite: suite('folder-offers'),
  },
  {
    name: 'folder-failure-counted-against-the-servers',
    edits: one('agent/core/checking.js', 'folder === undefined ? backOff(', 'folder !== null ? backOff('),
    suite: ['agent/core/folder.test.js'],
  },
  {
    name: 'client-key-rights-not-looked-at',
    edits: one(adapter('client-certificate'), 'if ((mode & exposedModes) !== 0) {', 'if (mode < 0) {'),
    suite: suite('client-certificate'),
  },
  {
    name: 'client-certificate-shown-behind-redirects',
    edits: one(
      adapter('http-dispatcher'),
      'createAgents({}, { lookup: guardedLookup })',
      'createAgents(own, { lookup: guardedLookup })',
    ),
    suite: suite('client-certificate'),
  },
  {
    name: 'client-certificate-never-renewed',
    edits: one(adapter('http'), 'if (known === null || ', 'if (known !== undefined || '),
    suite: suite('client-certificate'),
  },
  {
    name: 'limit-for-each-connection',
    edits: one(adapter('rate-limit'), 'Math.max(paidUntilMs, nowMs)', 'nowMs'),
    suite: suite('rate-limit'),
  },
  {
    name: 'portal-page-into-the-slot',
    edits: one(
      adapter('http'),
      'if (offset === 0 && received === 0 && isOddLength && isSurelyPage(chunk)) {',
      'if (offset < 0) {',
    ),
    suite: suite('release-source'),
  },
  {
    name: 'proxy-network-not-known',
    edits: one(adapter('proxy-rules'), "if (exception.host.includes('/'))", 'if (exception.host === "/")'),
    suite: suite('proxy-rules'),
  },
  {
    name: 'deadline-beyond-what-a-timer-takes',
    edits: one(adapter('long-timer'), 'Math.min(Math.max(leftMs, 0), timerStepMs)', 'leftMs'),
    suite: ['agent/http-settings.test.js'],
  },
  {
    name: 'deadline-of-a-stream-not-that-of-its-attempt',
    edits: one('agent/http-settings.js', 'streamDeadlineMs: http.downloadTimeoutMs,', ''),
    suite: ['agent/http-settings.test.js'],
  },
  {
    name: 'deadline-for-each-request',
    edits: one(adapter('deadline'), 'leftMs -= monoMs() - startMs;', 'void startMs;'),
    suite: installs,
  },
  {
    name: 'deadline-for-whole-files-only',
    edits: one(
      'agent/runtime/slot-fill.js',
      'await request.inTime(signal, async (bounded) => {',
      'await (async (bounded) => {',
    ).concat(
      one(
        'agent/runtime/slot-fill.js',
        'await bringImage(attempt, fill, request, bootBytes);\n        });',
        'await bringImage(attempt, fill, request, bootBytes);\n        })(signal);',
      ),
    ),
    suite: installs,
  },
  {
    name: 'mirror-with-another-image-not-left',
    edits: one('agent/runtime/image-bringing.js', 'fullTries >= fullTriesMax ||', 'fullTries > 0 ||'),
    suite: installs,
  },
  {
    name: 'mirror-with-another-image-asked-first-again',
    edits: one('agent/runtime/image-bringing.js', 'source.distrust(liar);', ';'),
    suite: installs,
  },
  {
    name: 'mirrors-with-another-image-asked-without-end',
    edits: one('agent/runtime/image-bringing.js', 'fullTries >= fullTriesMax', 'fullTries >= 9'),
    suite: installs,
  },
  {
    name: 'image-of-several-mirrors-blamed-on-who-began',
    edits: one(
      'agent/runtime/full-way.js',
      'sender.server = isBeginning || sender.server === from ? from : null;',
      'sender.server ??= from;',
    ),
    suite: installs,
  },
  {
    name: 'image-that-was-wrong-mixed-from-several-again',
    edits: one('agent/runtime/full-way.js', 'if (sending !== null && doubt.isFullOnly) {', 'if (false) {'),
    suite: installs,
  },
  {
    name: 'sender-of-an-image-forgotten-after-a-cut',
    edits: one('agent/runtime/full-way.js', 'sender.endBytes = writer.arrivedBytes;', ''),
    suite: installs,
  },
  {
    name: 'part-made-by-two-mirrors',
    edits: one(adapter('mirrors'), 'resumePart(offset, counting', 'resumePart(_position, counting'),
    suite: suite('release-source'),
  },
  {
    name: 'part-that-broke-off-left-at-once',
    edits: one(adapter('mirrors'), 'resumesMax = 3', 'resumesMax = 0'),
    suite: suite('mirrors'),
  },
  {
    name: 'part-that-breaks-off-asked-for-without-end',
    edits: one(adapter('mirrors'), 'resumesMax = 3', 'resumesMax = 3000'),
    suite: suite('mirrors'),
  },
  {
    name: 'body-that-goes-on-after-pause-kept-without-end',
    edits: one(adapter('body-delivery'), 'if (queuedBytes > queuedBytesMax)', 'if (false)'),
    suite: suite('body-delivery'),
  },
  {
    name: 'body-out-of-order-after-pause',
    edits: one(adapter('body-delivery'), 'queue.push(chunk);', 'queue.unshift(chunk);'),
    suite: suite('body-delivery'),
  },
  {
    name: 'part-of-two-mirrors-in-one-memory',
    edits: one('agent/runtime/range-window.js', 'if (from !== server) {', 'if (server === null) {'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'silent-mirror-asked-for-every-part',
    edits: one(adapter('mirror-ranking'), 'if (isSilence(error) || isBusy(error))', 'if (isBusy(error))'),
    suite: suite('mirrors'),
  },
  {
    name: 'silent-mirror-asked-last-for-ever',
    edits: one(adapter('mirror-ranking'), 'monoMs() < (untilMs.get(base) ?? 0)', 'untilMs.has(base)'),
    suite: suite('mirrors'),
  },
  {
    name: 'silent-mirror-asked-after-one-that-lies',
    edits: one(adapter('mirror-ranking'), 'awayUntilMs.clear();', ''),
    suite: suite('mirrors'),
  },
  {
    name: 'mirror-that-broke-off-taken-for-a-silent-one',
    edits: one(adapter('mirror-ranking'), 'if (isSilence(error) || isBusy(error))', 'if (true)'),
    suite: suite('mirrors'),
  },
  {
    name: 'busy-mirror-asked-for-every-part',
    edits: one(adapter('mirror-ranking'), 'if (isSilence(error) || isBusy(error))', 'if (isSilence(error))'),
    suite: suite('mirrors'),
  },
  {
    name: 'busy-mirror-asked-before-it-said',
    edits: one(adapter('mirror-ranking'), 'Math.max(silenceMs, askedMs)', 'silenceMs'),
    suite: suite('mirrors'),
  },
  {
    name: 'mirror-without-ranges-asked-for-every-part',
    edits: one(adapter('mirror-ranking'), "if (wanted === 'part' && isRangeless(error))", 'if (false)'),
    suite: suite('mirrors'),
  },
  {
    name: 'mirror-without-ranges-not-asked-for-whole-files',
    edits: one(adapter('mirror-ranking'), "(wanted === 'part' && isNow", '(isNow'),
    suite: suite('mirrors'),
  },
  {
    name: 'mirror-without-ranges-asked-for-the-rest-of-a-file',
    edits: one(adapter('mirrors'), "through(offset > 0 ? 'part' : 'file',", "through('file',"),
    suite: suite('mirrors'),
  },
  {
    name: 'bytes-that-are-skipped-not-told',
    edits: one(adapter('mirrors'), 'if (skipped > 0)', 'if (false)'),
    suite: suite('mirrors'),
  },
  {
    name: 'bytes-that-are-skipped-not-counted',
    edits: one('agent/runtime/full-way.js', 'signal, skipped.note);', 'signal);'),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'server-without-ranges-read-again-for-ever',
    edits: one('agent/runtime/skipped-bytes.js', 'if (!isCut || skippedBytes === 0)', 'if (true)'),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'less-than-a-block-taken-for-getting-further',
    edits: one(
      'agent/runtime/full-way.js',
      'floorToBlock(writer.arrivedBytes) > startBytes',
      'writer.arrivedBytes > startBytes',
    ),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'wrong-beginning-fails-an-only-server',
    edits: one('agent/runtime/image-bringing.js', ' && fromBytes === 0 && source', ' && source'),
    suite: installs,
  },
  {
    name: 'mirror-with-another-index-asked-first-again',
    edits: one('agent/runtime/index-fetch.js', 'source.distrust(server);', ';'),
    suite: installs,
  },
  {
    name: 'mirror-demoted-that-did-not-lie',
    edits: one(
      adapter('mirror-ranking'),
      'ordered.filter((one) => one !== base), ...ordered.filter((one) => one === base)',
      'ordered.slice(1), ...ordered.slice(0, 1)',
    ),
    suite: installs,
  },
];
