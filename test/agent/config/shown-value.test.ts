import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownValue } from '../../../agent/config/shown-value.ts';

test('a setting is shown as it is, but for the password of a URL', () => {
  const config = {
    baseUrls: ['https://a.example/x', 'https://u:secret@b.example/y'],
    http: { proxyUrl: 'http://gateway:secret@proxy.example:3128', connectTimeoutMs: 5 },
  };
  assert.deepEqual(shownValue(config, 'baseUrls'), ['https://a.example/x', 'https://u:***@b.example/y']);
  assert.equal(shownValue(config, 'http.proxyUrl'), 'http://gateway:***@proxy.example:3128/');
  assert.equal(shownValue(config, 'http.connectTimeoutMs'), 5);
});
