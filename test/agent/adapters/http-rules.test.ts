import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFromEnvironment } from '../../../agent/adapters/http-dispatcher.ts';
import {
  followRedirect,
  isLocalHost,
  looksLikePage,
  needsGuard,
  parseRetryAfter,
} from '../../../agent/adapters/http-rules.ts';
import { OtadError } from '../../../agent/core/errors.ts';

const refused = (origin: string, location: string, hops = 0): void => {
  const from = new URL(origin);
  assert.throws(
    () => followRedirect(from, from, location, hops),
    (error) => error instanceof OtadError && error.code === 'HTTP_REDIRECT_REFUSED',
    location,
  );
};

test('never from https to http, nor to another protocol', () => {
  refused('https://updates.test/', 'http://updates.test/');
  for (const location of ['file:///etc/passwd', 'ftp://updates.test/', 'data:,x', 'http://[', 'javascript:1']) {
    refused('http://updates.test/', location);
  }
});

test('never to this device or its link, however it is spelt', () => {
  const spellings = [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0.0.0.0',
    '169.254.169.254',
    'localhost',
    'LOCALHOST.',
    'a.localhost',
    '[::1]',
    '[::]',
    '[fe80::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
  ];
  for (const host of spellings) {
    assert.equal(isLocalHost(new URL(`http://${host}/`)), true, host);
    refused('http://updates.test/', `http://${host}/`);
  }
  for (const host of ['10.0.0.1', '192.168.1.1', '[2001:db8::1]', 'updates.test', '128.0.0.1']) {
    assert.equal(isLocalHost(new URL(`http://${host}/`)), false, host);
  }
});

test('from loopback to loopback, and never to the link: there a machine is given its credentials', () => {
  for (const origin of ['http://127.0.0.1:8080/', 'http://localhost/', 'http://[::1]/']) {
    for (const host of ['169.254.169.254', '0xa9fea9fe', '[fe80::1]', '[::ffff:a9fe:a9fe]', '0.0.0.0']) {
      refused(origin, `http://${host}/latest/meta-data`);
    }
  }
});

test('a redirect to another host is resolved under guard, but within loopback', () => {
  const needs = (origin: string, target: string): boolean => needsGuard(new URL(origin), new URL(target));
  assert.equal(needs('http://updates.test/', 'http://cdn.test/'), true);
  assert.equal(needs('http://updates.test/', 'http://updates.test:8080/'), true);
  assert.equal(needs('http://127.0.0.1/', 'http://cdn.test/'), true);
  assert.equal(needs('http://updates.test/', 'http://updates.test/other'), false);
  assert.equal(needs('http://127.0.0.1/', 'http://localhost:8080/'), false);
});

test('between local addresses when the origin is one, and up to https', () => {
  const local = new URL('http://127.0.0.1:8080/a/b');
  assert.equal(followRedirect(local, local, '../c#x', 0).href, 'http://127.0.0.1:8080/c');
  const plain = new URL('http://updates.test/a');
  assert.equal(followRedirect(plain, plain, 'https://cdn.test/a', 2).href, 'https://cdn.test/a');
});

test('a chain that reached https does not come back', () => {
  const error = () =>
    followRedirect(new URL('http://updates.test/'), new URL('https://cdn.test/'), 'http://updates.test/', 1);
  assert.throws(error, OtadError);
});

test('a date of Retry-After is read against the server, and against the clock only without a Date', () => {
  const until = 'Fri, 02 Jan 2026 00:00:10 GMT';
  assert.equal(parseRetryAfter(until, 'Fri, 02 Jan 2026 00:00:00 GMT', 0), 10);
  assert.equal(parseRetryAfter(until, null, Date.parse('2026-01-02T00:00:00Z')), 10);
  assert.equal(parseRetryAfter('-5', null, 0), null);
  assert.equal(parseRetryAfter(null, null, 0), null);
});

test('pages are told from JSON by their first character', () => {
  for (const text of ['<html>', '\n\t <!doctype', '\ufeff<x/>']) {
    assert.equal(looksLikePage(Buffer.from(text)), true);
  }
  for (const text of ['{"a":"<"}', '', '[<']) {
    assert.equal(looksLikePage(Buffer.from(text)), false);
  }
});

test('proxy variables: lower case wins, empty is none', () => {
  assert.deepEqual(proxyFromEnvironment({ HTTP_PROXY: 'http://a', http_proxy: 'http://b', NO_PROXY: 'x' }), {
    http: 'http://b',
    https: null,
    except: 'x',
  });
  assert.deepEqual(proxyFromEnvironment({ https_proxy: '' }), { http: null, https: null, except: '' });
});
