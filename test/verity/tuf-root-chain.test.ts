// The longest chain of roots that one update follows; a file of its own, because hundreds of signatures take their time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { nextRoot, setKeys } from '../conformance/publishing.ts';
import { aRepository, memoryFiles, repositoryFetcher, signFile, testKey, testNowS } from '../support/tuf-repository.ts';

const signal = new AbortController().signal;

test('5.3.3: stops after the maximum of root rotations and goes on at the next refresh', async () => {
  assert.equal(metadataLimits.rootRotationsMax, 256);
  const repository = aRepository();
  const signers = [testKey('root 1')];
  setKeys(repository.root, 'root', signers);
  const initialRoot = signFile(repository.root, signers);
  for (let count = 0; count <= metadataLimits.rootRotationsMax; count += 1) {
    nextRoot(repository, undefined, signers);
  }
  const { fetcher } = repositoryFetcher(repository.files);
  const client = createTufClient({ fetcher, files: memoryFiles(), initialRoot });
  assert.equal((await client.refresh(testNowS, signal)).root.version, metadataLimits.rootRotationsMax + 1);
  assert.equal((await client.refresh(testNowS, signal)).root.version, metadataLimits.rootRotationsMax + 2);
});
