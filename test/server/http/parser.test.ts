/** The head parser: what it takes, what it refuses and why, its limits, and heads that come in pieces. */
import { describe, expect, test } from 'vitest';
import { tqHeader } from '../../../server/http/head.ts';
import { httpLimits } from '../../../server/http/limits.ts';
import { HeadParser, ParseOutcome } from '../../../server/http/parser.ts';
import { get, post, refusedHeads } from './corpus.ts';

const parser = new HeadParser(httpLimits);

/** 'ok', 'incomplete' or the code of the refusal. */
function verdict(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  const outcome = parser.parse(bytes, 0, bytes.length);
  if (outcome === ParseOutcome.refused) return parser.code;
  if (outcome === ParseOutcome.incomplete) return 'incomplete';
  expect(outcome).toBe(bytes.length);
  return 'ok';
}

function headOf(text: string) {
  expect(verdict(text)).toBe('ok');
  if (parser.head === undefined) throw new Error('no head');
  return parser.head;
}

describe('what a head says', () => {
  test('a request with everything that is read', () => {
    const head = headOf(
      'POST /v1/partitions/train%20set/rows?ack=disk&x=%2F HTTP/1.1\r\n' +
        'hOsT: node-1.example:7420\r\n' +
        'Accept:application/json \t \r\n' +
        'authorization: \t Bearer abc \r\n' +
        'X-Other: anything, "quoted" (even this)\r\n' +
        'Content-Type: application/vnd.apache.arrow.stream\r\n' +
        'Content-Length: 4096\r\n' +
        'TQ-Checksum: 0123456789abcdef\r\n' +
        'tq-request-ID: r-1\r\n' +
        'Expect: 100-Continue\r\n' +
        'Connection: Keep-Alive\r\n\r\n',
    );
    expect(head).toEqual({
      method: 'POST',
      path: '/v1/partitions/train%20set/rows',
      query: 'ack=disk&x=%2F',
      contentLength: 4096,
      host: 'node-1.example:7420',
      accept: 'application/json',
      authorization: 'Bearer abc',
      contentType: 'application/vnd.apache.arrow.stream',
      tqHeaders: ['tq-checksum', '0123456789abcdef', 'tq-request-id', 'r-1'],
      expectContinue: true,
      keepAlive: true,
    });
    expect(tqHeader(head, 'tq-request-id')).toBe('r-1');
    expect(tqHeader(head, 'tq-absent')).toBeUndefined();
  });

  test('a request with nothing leaves no trace of the one before', () => {
    const head = headOf(get(''));
    expect(head.contentLength).toBe(0);
    expect([head.accept, head.authorization, head.contentType]).toEqual([undefined, undefined, undefined]);
    expect(head.tqHeaders).toEqual([]);
    expect([head.query, head.expectContinue, head.keepAlive]).toEqual(['', false, true]);
  });

  test.each(['GET', 'HEAD', 'DELETE'])('%s needs no length', (method) => {
    expect(headOf(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`).method).toBe(method);
  });

  test.each(['PUT', 'POST'])('%s has one', (method) => {
    expect(headOf(`${method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`).method).toBe(method);
  });

  test('an empty query is no query', () => {
    expect(headOf(get('', '/a?')).query).toBe('');
    expect(headOf(get('', '/a??/../b')).query).toBe('?/../b');
  });

  test('close wins over keep-alive', () => {
    expect(headOf(get('Connection: keep-alive, close\r\n')).keepAlive).toBe(false);
  });
});

describe('what is refused', () => {
  test.each(refusedHeads)('%s: %j', (code, text) => {
    expect(verdict(text)).toBe(code);
  });

  test('a refused head is never taken when it comes in pieces', () => {
    for (const [code, text] of refusedHeads) {
      let last = 'incomplete';
      for (let end = 1; end <= text.length && last === 'incomplete'; end++) last = verdict(text.slice(0, end));
      expect([code, text, last]).toEqual([code, text, code]);
    }
  });
});

test('a good head is incomplete at every cut, and found where it begins', () => {
  const text = post('Content-Length: 5\r\nAccept: a/b\r\nTQ-Checksum: 0\r\nConnection: close\r\n').replace(
    '/',
    '/a%20b?c',
  );
  for (let end = 0; end < text.length; end++) expect(verdict(text.slice(0, end))).toBe('incomplete');
  const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: other${text}rest of the body`, 'latin1');
  expect(parser.parse(bytes, 27, bytes.length)).toBe(text.length);
  expect(parser.head?.path).toBe('/a%20b');
});

test('bytes behind the end are not looked at', () => {
  const text = get('Accept: a\r\n');
  const bytes = Buffer.from(text, 'latin1');
  for (let end = 0; end < bytes.length; end++) expect(parser.parse(bytes, 0, end)).toBe(ParseOutcome.incomplete);
});

describe('limits at one less, exactly and one more', () => {
  const targetOf = (size: number) => get('', `/${'a'.repeat(size - 1)}`);
  const fieldsOf = (count: number) => get(Array.from({ length: count - 1 }, (_, i) => `X-${i}: y\r\n`).join(''));
  const headOfSize = (size: number) => get(`X: ${'y'.repeat(size - get('X: \r\n').length)}\r\n`);
  const { targetBytesMax, headFieldsMax, headBytesMax, bodyBytesMax } = httpLimits;

  test.each([
    ['target_too_long', targetBytesMax, targetOf],
    ['head_too_large', headFieldsMax, fieldsOf],
    ['head_too_large', headBytesMax, headOfSize],
    ['body_too_large', bodyBytesMax, (size: number) => post(`Content-Length: ${size}\r\n`)],
  ])('%s', (code, max, make) => {
    expect(verdict(make(max - 1))).toBe('ok');
    expect(verdict(make(max))).toBe('ok');
    expect(verdict(make(max + 1))).toBe(code);
  });

  test('a target with no end is refused as soon as it is too long', () => {
    expect(verdict(`GET /${'a'.repeat(targetBytesMax - 1)}`)).toBe('incomplete');
    expect(verdict(`GET /${'a'.repeat(targetBytesMax)}`)).toBe('target_too_long');
  });

  test('a head with no end is refused as soon as it is too large', () => {
    expect(headOfSize(headBytesMax).length).toBe(headBytesMax);
    expect(verdict(headOfSize(headBytesMax).slice(0, -1))).toBe('incomplete');
    expect(verdict(headOfSize(headBytesMax + 1).slice(0, -1))).toBe('head_too_large');
  });
});
