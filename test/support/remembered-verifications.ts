// Spares a test file the 5 ms that tweetnacl takes to look at a signature it has looked at before: cases that share a vendor
// let the same files be verified hundreds of times. Remembers answers of tweetnacl itself, by message, signature and key, and
// nothing else: what stands before and behind the equation in production runs each time.

import { createHash } from 'node:crypto';
import nacl from 'tweetnacl';

/** For the rest of this process. Call it once, at the top of a test file. */
export const rememberVerifications = (): void => {
  const { verify } = nacl.sign.detached;
  const answers = new Map<string, boolean>();
  nacl.sign.detached.verify = (message, signature, publicKey) => {
    // Lengths are part of what is asked; signature and key have one each, or tweetnacl throws.
    if (signature.length !== nacl.sign.signatureLength || publicKey.length !== nacl.sign.publicKeyLength) {
      return verify(message, signature, publicKey);
    }
    const asked = createHash('sha256').update(signature).update(publicKey).update(message).digest('base64');
    const answer = answers.get(asked) ?? verify(message, signature, publicKey);
    answers.set(asked, answer);
    return answer;
  };
};
