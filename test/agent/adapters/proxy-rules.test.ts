import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isExemptFromProxy } from '../../../agent/adapters/proxy-rules.ts';

const cases: readonly (readonly [url: string, except: string, isExempt: boolean])[] = [
  ['http://a.example/', '', false],
  ['http://a.example/', '*', true],
  ['http://a.example/', 'a.example', true],
  ['http://b.a.example/', 'a.example', true],
  ['http://ba.example/', 'a.example', false],
  ['http://a.example/', '.a.example', false],
  ['http://b.a.example/', '.a.example', true],
  ['http://b.a.example/', '*.a.example', true],
  ['http://a.example/', '*.a.example', false],
  ['http://A.Example./', 'other, a.EXAMPLE.', true],
  ['https://a.example/', 'a.example:443', true],
  ['https://a.example:8443/', 'a.example:443', false],
  ['https://a.example:8443/', 'x a.example:8443', true],
  ['http://10.1.2.3/', '10.0.0.0/8', true],
  ['http://11.1.2.3/', '10.0.0.0/8', false],
  ['http://10.1.2.3:8080/', '10.0.0.0/8:8080', true],
  ['http://10.1.2.3:8081/', '10.0.0.0/8:8080', false],
  ['http://10.1.2.3/', '10.0.0.0/33', false],
  ['http://10.1.2.3/', '10.1.2.3', true],
  ['http://10.1.2.3/', '0.1.2.3', false],
  ['http://a.10.1.2.3.example/', '10.1.2.3', false],
  ['http://[fd00::1]/', 'fd00::/8', true],
  ['http://[fd00::1]/', '[fd00::1]', true],
  ['http://[fd00::1]:81/', '[fd00::1]:81', true],
  ['http://[fd00::1]:82/', '[fd00::1]:81', false],
  ['http://[fd00:0::1]/', 'fd00:0:0::1', true],
  ['http://a.example/', ',, ,', false],
  ['http://a.example/', '.', false],
  ['http://name.lan/', '10.0.0.0/8,.lan', true],
];

for (const [url, except, isExempt] of cases) {
  test(`${url} goes ${isExempt ? 'around' : 'through'} the proxy with no_proxy='${except}'`, () => {
    assert.equal(isExemptFromProxy(new URL(url), except), isExempt);
  });
}
