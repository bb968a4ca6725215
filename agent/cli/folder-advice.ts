// What to do with the stick in one's hand, for each way in which an install from a folder can fail. Pure.

import type { ErrorCode } from '../core/errors.ts';

const advices: Readonly<Partial<Record<ErrorCode, string>>> = {
  FOLDER_GONE: 'Put it back and give the same command again: it goes on where it stopped.',
  METADATA_ROLLBACK: 'This gateway has seen newer metadata than the folder holds. Copy the repository again.',
  METADATA_EXPIRED:
    'The copy has grown too old to be believed. Have the publisher renew it (otapub renew), and copy the repository again.',
  METADATA_MISMATCH: 'The copy was made while the repository changed. Copy it again.',
  METADATA_MALFORMED: 'The copy is damaged. Copy the repository again.',
  TARGET_DIGEST_MISMATCH: 'The copy is damaged. Copy the repository again.',
  IMAGE_DIGEST_MISMATCH: 'The copy is damaged. Copy the repository again.',
  HTTP_RANGE_MISMATCH: 'The copy is damaged. Copy the repository again.',
  METADATA_SIGNATURE_INVALID: 'It is damaged, or not from the vendor of this gateway.',
};

/** A sentence, or null where the error says it all. */
export const folderAdvice = (code: string | null): string | null => advices[code as ErrorCode] ?? null;
