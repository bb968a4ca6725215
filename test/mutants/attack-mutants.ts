// Known bugs of trust and of the network: what the attack suite, and the tests of the parts it drives, must notice.

import { one, type SuiteMutant } from './mutant.ts';

const ed25519 = 'verity/ed25519.js';
const httpRules = 'agent/adapters/http-rules.js';
const edges = ['verity/ed25519-edges.test.js'];
const metadata = ['attack/metadata-attacks.test.js'];
const image = ['attack/image-attacks.test.js'];
const rest = ['attack/rest-attacks.test.js'];
const http = ['agent/adapters/http-rules.test.js', 'agent/adapters/http.test.js'];

export const attackMutants: readonly SuiteMutant[] = [
  {
    name: 'ed25519-s-not-bounded',
    edits: one(ed25519, 'isBelow(signature.subarray(32), groupOrder) &&', ''),
    suite: edges,
  },
  {
    name: 'ed25519-small-order-taken',
    edits: one(ed25519, '!smallOrderYs.some((small) => Buffer.compare(small, y) === 0)', 'y.length > 0'),
    suite: edges,
  },
  { name: 'ed25519-second-encoding-taken', edits: one(ed25519, 'isBelow(y, fieldPrime) &&', ''), suite: edges },
  {
    name: 'otapub-ed25519-not-strict',
    edits: one(
      'publish/keys/ed25519.js',
      'if (!isStrictlyEncoded(signature, publicKey))',
      'if (signature.length !== 64)',
    ),
    suite: edges,
  },
  {
    name: 'ed25519-r-not-looked-at',
    edits: one(ed25519, 'isSoundPoint(signature.subarray(0, 32)) &&', ''),
    suite: edges,
  },
  {
    name: 'threshold-counts-key-ids',
    edits: one('verity/role-signatures.js', 'signers.add(signer);', 'signers.add(keyId);'),
    suite: metadata,
  },
  {
    name: 'timestamp-stored-before-its-checks',
    edits: one(
      'verity/tuf-roles.js',
      'const timestamp = verifyTimestamp(',
      "await files.write('timestamp.json', bytes);\n    const timestamp = verifyTimestamp(",
    ),
    suite: metadata,
  },
  {
    name: 'release-of-another-product-taken',
    edits: one('verity/verified-release.js', 'release.compatible !== query.compatible ||', ''),
    suite: metadata,
  },
  {
    name: 'hardware-revision-not-compared',
    edits: one('agent/core/select.js', 'hardwareRevisions.length > 0 &&', 'hardwareRevisions.length > 99 &&'),
    suite: metadata,
  },
  {
    name: 'verity-root-not-compared',
    edits: one('agent/runtime/slot-fill.js', 'if (rootHex !== verity.rootHex) {', "if (rootHex === '') {"),
    suite: image,
  },
  {
    name: 'slot-lock-missing',
    edits: one('agent/adapters/slot-device.js', "identity.kind === 'file' ?", "identity.kind === 'none' ?"),
    suite: image,
  },
  {
    name: 'origin-answered',
    edits: one('agent/api/server.js', 'if (request.headers.origin !== undefined)', 'if (door === undefined)'),
    suite: rest,
  },
  {
    name: 'foreign-host-answered',
    edits: one('agent/api/server.js', "if (door !== 'http')", "if (door !== 'none')"),
    suite: rest,
  },
  {
    name: 'command-on-every-door',
    edits: one('agent/api/server.js', "if (door !== 'control')", "if (door === 'none')"),
    suite: rest,
  },
  {
    name: 'redirects-without-end',
    edits: one(httpRules, 'if (hops >= redirectsMax) {', 'if (hops < 0) {'),
    suite: http,
  },
  {
    name: 'redirect-from-loopback-to-the-link',
    edits: one(httpRules, 'isLoopbackHost(origin) && isLoopbackHost(target)', 'isLoopbackHost(origin)'),
    suite: http,
  },
  {
    name: 'redirect-down-to-http',
    edits: one(httpRules, "(target.protocol !== 'http:' || from.protocol === 'https:')", "target.protocol !== 'http:'"),
    suite: http,
  },
  {
    name: 'encoded-answer-taken',
    edits: one(
      httpRules,
      "if (encoding !== null && encoding.trim().toLowerCase() !== 'identity') {",
      'if (encoding === "x") {',
    ),
    suite: http,
  },
  {
    name: 'traffic-beside-the-file-not-counted',
    edits: one('agent/adapters/http-exchange.js', 'if (mark.isWasted())', 'if (mark === null)'),
    suite: http,
  },
  {
    name: 'slot-opened-anew-to-be-read-back',
    edits: one('agent/runtime/install.js', 'if (isKept)', 'if (false)'),
    suite: ['agent/runtime/install.test.js'],
  },
  {
    name: 'place-of-the-slot-not-looked-at',
    edits: one('agent/adapters/slot-handle.js', 'if (key !== this.#identity.key)', 'if (false)'),
    suite: ['agent/runtime/install.test.js', 'attack/image-attacks.test.js'],
  },
  {
    name: 'kept-slot-written-again-unasked',
    edits: one('agent/runtime/install.js', 'kept?.slot === slot && !isFresh', 'kept?.slot === slot'),
    suite: ['agent/runtime/install.test.js'],
  },
  {
    name: 'kept-slot-of-a-dropped-write-stays-locked',
    edits: one('agent/runtime/runtime.js', 'if (isUnread(event, decision))', 'if (false)'),
    suite: ['agent/runtime/runtime.test.js'],
  },
  {
    name: 'kept-slot-let-go-before-it-is-read-back',
    edits: one('agent/runtime/runtime.js', "!effects.some(({ kind }) => kind === 'verify')", 'true'),
    suite: ['agent/runtime/runtime.test.js'],
  },
  {
    name: 'kept-slot-opened-while-it-closes',
    edits: one('agent/runtime/install.js', 'return closed;', 'return Promise.resolve();'),
    suite: ['agent/runtime/install.test.js'],
  },
  {
    name: 'kept-slot-never-let-go',
    edits: one('agent/runtime/install.js', 'await letGo();', ''),
    suite: ['agent/runtime/install.test.js'],
  },
];
