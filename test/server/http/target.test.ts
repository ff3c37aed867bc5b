/** Strict decoding of path segments and queries. */
import { expect, test } from 'vitest';
import { decodePathSegment, decodeQuery, isPathDecodable } from '../../../server/http/target.ts';

test.each([
  ['train', 'train'],
  ['val@step_12', 'val@step_12'],
  ['a%20b', 'a b'],
  ['%E4%BD%A0', '你'],
  ['a%2Eb', 'a.b'],
  ['...', '...'],
  ['%25zz', '%zz'],
  ['__proto__', '__proto__'],
])('segment %s is %s', (segment, text) => {
  expect(decodePathSegment(segment)).toBe(text);
});

test.each([
  '.',
  '..',
  '%2e',
  '%2E.',
  '%2f',
  'a%2Fb',
  'a%5Cb',
  '%00',
  'a%0Ab',
  '%7f',
  '%c2%80',
  '%ff',
  '%c0%af',
  '%',
  '%1',
])('segment %s is refused', (segment) => {
  expect(decodePathSegment(segment)).toBeUndefined();
});

test('a path may end with a slash, but holds no other empty segment', () => {
  expect(isPathDecodable('/')).toBe(true);
  expect(isPathDecodable('/a/b/')).toBe(true);
  expect(isPathDecodable('/a//b')).toBe(false);
  expect(isPathDecodable('//a')).toBe(false);
});

test('queries', () => {
  expect(decodeQuery('')).toEqual(new Map());
  expect(decodeQuery('a=1&b=x%26y+z&c&d=')).toEqual(
    new Map([
      ['a', '1'],
      ['b', 'x&y z'],
      ['c', ''],
      ['d', ''],
    ]),
  );
  for (const bad of ['a=1&a=2', 'a=1&%61=2', '=1', 'a&&b', 'a=%ff', '%c3=1', '&'])
    expect(decodeQuery(bad)).toBeUndefined();
});
