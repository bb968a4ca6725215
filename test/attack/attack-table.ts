// The attacks that otad must answer, one row each, in the words of docs/internals/attacks.md. Data only: the cases are in the
// other files of this folder, and a test sees that no row is without any.

export const attackRows = [
  'unsigned or wrongly signed metadata, a threshold that is faked',
  'weak keys, malleable signatures',
  'root version skipped, a failed root trusted later',
  'rollback, freeze, fast-forward, mix-and-match, role removal',
  'endless data, slow retrieval, compressed bomb',
  'redirect loop, https to http, link-local address',
  'path traversal in names',
  'wrong hardware, wrong product',
  'missing keys or root',
  'the signed part is not the used part',
  'JSON tricks',
  'local user on REST',
] as const;

export type AttackRow = (typeof attackRows)[number];
