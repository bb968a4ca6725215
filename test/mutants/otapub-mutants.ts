// Known bugs of the publisher's ceremonies: changes of keys, offline signing, keys that commands sign with.

import { one, type SuiteMutant } from './mutant.ts';

const ceremony = ['publish/signing/ceremony.test.js'];
const offline = ['publish/signing/offline-signing.test.js'];
const commandKey = ['publish/keys/command-key.test.js'];
const init = ['publish/repository/repository-init.test.js'];
const commandLine = ['publish/command-line.test.js'];

export const otapubMutants: readonly SuiteMutant[] = [
  {
    name: 'otapub-silent-about-a-trial-that-is-too-long',
    edits: one('publish/releases/release-warnings.js', 'health.deadlineS <= mostS', 'true'),
    suite: commandLine,
  },
  {
    name: 'otapub-files-signed-for-the-new-root-only',
    edits: one(
      'publish/repository/publication-plan.js',
      '[after] : [roots.at(-2)?.signed ?? state.root, after]',
      '[after] : [after]',
    ),
    suite: ceremony,
  },
  {
    name: 'otapub-last-root-before-its-files',
    edits: one(
      'publish/repository/publication.js',
      'const [last, ...earlier] = [...plan.roots].reverse();',
      'const [last, ...earlier] = [...plan.roots, ...plan.roots.slice(-1)].reverse();',
    ),
    suite: ceremony,
  },
  {
    name: 'otapub-no-timestamp-after-the-root',
    edits: one(
      'publish/repository/publication.js',
      'await publishTimestamp(options, [plan.after], version, snapshot);',
      '',
    ),
    suite: ceremony,
  },
  {
    name: 'otapub-no-bridge-for-a-lost-key',
    edits: one('publish/repository/root-document.js', 'if (canSignBoth(final))', 'if (final !== null)'),
    suite: ceremony,
  },
  {
    name: 'otapub-bridge-without-the-old-keys',
    edits: one(
      'publish/repository/root-document.js',
      '[...before[role].keyIds, ...change.plans[role].keyIds]',
      '[...change.plans[role].keyIds]',
    ),
    suite: ceremony,
  },
  {
    name: 'otapub-revoked-below-the-threshold',
    edits: one('publish/repository/key-change.js', 'if (left.length < threshold)', 'if (left.length < 0)'),
    suite: ceremony,
  },
  {
    name: 'otapub-images-keep-the-old-root',
    edits: one('publish/repository/publication.js', 'if (state.anchorVersion === version)', 'if (version > 0)'),
    suite: ceremony,
  },
  {
    name: 'otapub-signature-used-unverified',
    edits: one(
      'publish/repository/metadata-signing.js',
      "if (!holdsForGateways(bytes, signature, Buffer.from(key.publicHex, 'hex'))) {",
      'if (signature.length === 0) {',
    ),
    suite: commandKey,
  },
  {
    name: 'otapub-command-without-end',
    edits: one('publish/keys/command-key.js', 'if (length > outputBytesMax)', 'if (length > 2 ** 40)'),
    suite: commandKey,
  },
  {
    name: 'otapub-signed-without-a-yes',
    edits: one(
      'publish/signing/offline-signing.js',
      'if (!(await options.confirm(lines, names)))',
      'if (names === null)',
    ),
    suite: offline,
  },
  {
    name: 'otapub-own-root-not-asked',
    edits: one('publish/signing/offline-signing.js', 'if (own !== null)\n', 'if (own === undefined)\n'),
    suite: offline,
  },
  {
    name: 'otapub-stale-request-applied',
    edits: one('publish/signing/application.js', 'if (problem !== null)\n', 'if (problem === undefined)\n'),
    suite: offline,
  },
  {
    name: 'otapub-any-signature-counts',
    edits: one(
      'publish/repository/metadata-signing.js',
      "return holdsForGateways(signedBytes, Buffer.from(sig, 'hex'), Buffer.from(key.keyval.public, 'hex'));",
      'return sig.length === 128;',
    ),
    suite: offline,
  },
  {
    name: 'otapub-shown-is-not-what-is-signed',
    edits: one(
      'publish/signing/request.js',
      'if (Buffer.compare(Buffer.from(encodeCanonicalJson(raw)), signedBytes) !== 0) {',
      'if (signedBytes.length === 0) {',
    ),
    suite: offline,
  },
  {
    name: 'otapub-signature-of-another-request',
    edits: one(
      'publish/signing/request-folder.js',
      'if (file.request !== request.sha256Hex) {',
      'if (file.request === "") {',
    ),
    suite: offline,
  },
  {
    name: 'otapub-key-file-for-all-to-read',
    edits: one('publish/keys/key-files.js', ', null, 2)}\\n`, 0o600);', ', null, 2)}\\n`, 0o644);'),
    suite: init,
  },
  {
    name: 'otapub-open-key-file-accepted',
    edits: one('publish/keys/key-files.js', 'if ((facts.mode & 0o077) !== 0) {', 'if (facts.mode === 0) {'),
    suite: init,
  },
  {
    name: 'otapub-channel-that-no-gateway-can-follow',
    edits: one(
      'publish/releases/release.js',
      "['channel', compatibleSchema.safeParse(options.channel), nameExpectation],",
      '',
    ),
    suite: commandLine,
  },
  {
    name: 'otapub-image-without-root-unnoticed',
    edits: one(
      'publish/releases/release-warnings.js',
      'if (baked === null)\n',
      'if (baked === null)\n        return [];\n    if (baked === null)\n',
    ),
    suite: commandLine,
  },
  {
    name: 'otapub-image-without-agent-unnoticed',
    edits: one('publish/releases/release-warnings.js', 'await hasImageFile(imagePath, imageAgentPath, signal)', 'true'),
    suite: commandLine,
  },
  {
    name: 'otapub-older-version-unnoticed',
    edits: one(
      'publish/releases/release-warnings.js',
      'compareVersions(image.version, version) > 0',
      'compareVersions(image.version, version) > 1',
    ),
    suite: commandLine,
  },
  {
    name: 'otapub-left-question-takes-the-defaults',
    edits: one(
      'publish/otapub.js',
      "fail(new OtadError('CANCELLED', { reason: 'no answer was given, so nothing was done' }))",
      'answer(null)',
    ),
    suite: commandLine,
  },
];
