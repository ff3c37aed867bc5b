/**
 * A strict parser of HTTP/1.1 request heads: bytes in, a `RequestHead` or a refusal out.
 *
 *   POST /v1/partitions/train/rows?ack=disk HTTP/1.1\r\n        method SP target SP version
 *   Host: node-1:7420\r\n                                       name ":" OWS value OWS
 *   Content-Length: 4096\r\n
 *   \r\n
 *
 * Invariants: what two HTTP implementations could read differently is refused, not repaired: bare CR or LF, folded
 * lines, space before a colon, bytes that are not ASCII, a second Host, Content-Length or any other header that is read
 * here, every Transfer-Encoding, signs or leading zeros in a length, a body where none belongs, targets in other than
 * origin form. Each refusal closes the connection. The parser keeps nothing between two calls.
 */
import type { TransportCode } from './exchange.ts';
import { Char, CharClass, charClasses } from './grammar.ts';
import { known, namesByLength, type Method, type RequestHead } from './head.ts';
import type { HttpLimits } from './limits.ts';
import { isPathDecodable } from './target.ts';

export { tqHeader, type Method, type RequestHead } from './head.ts';

type ParserLimits = Pick<HttpLimits, 'headBytesMax' | 'headFieldsMax' | 'targetBytesMax' | 'bodyBytesMax'>;

/** What `HeadParser.parse` returns in place of a size. */
export const ParseOutcome = { incomplete: 0, refused: -1 } as const;

const methods: readonly Method[] = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'];
const methodBytes: readonly Uint8Array[] = methods.map((method) => Buffer.from(method, 'latin1'));
const METHOD_SIZE_MAX = 16;
const VERSION_SIZE = 8;
const versionBytes = Buffer.from('HTTP/1.1', 'latin1');
/** 2^53 has 16 digits: with 15 every length is exact. */
const LENGTH_DIGITS_MAX = 15;
const noTqHeaders: readonly string[] = [];

export class HeadParser {
  /** Set when `parse` returned a size. */
  head: RequestHead | undefined;
  /** Set when `parse` returned `refused`. */
  code: TransportCode = 'http_malformed';
  reason = '';

  readonly #limits: ParserLimits;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  #method: Method = 'GET';
  #path = '';
  #query = '';
  #seen = 0;
  #contentLength = 0;
  #host = '';
  #accept: string | undefined;
  #authorization: string | undefined;
  #contentType: string | undefined;
  #tqHeaders = noTqHeaders;
  #expectContinue = false;
  #keepAlive = true;

  constructor(limits: ParserLimits) {
    this.#limits = limits;
  }

  /** Parses `bytes[start, end)`; returns the size of the head, or `incomplete`, or `refused`. */
  parse(bytes: Buffer, start: number, end: number): number {
    const limitEnd = start + this.#limits.headBytesMax;
    this.#reset(bytes, start, Math.min(end, limitEnd));
    let outcome = this.#requestLine();
    if (outcome > 0) outcome = this.#fields();
    if (outcome > 0) outcome = this.#conclude();
    if (outcome > 0) return this.#at - start;
    if (outcome === ParseOutcome.incomplete && end >= limitEnd) return this.#refuse('head_too_large', 'too many bytes');
    return outcome;
  }

  #reset(bytes: Buffer, start: number, end: number): void {
    this.head = undefined;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#seen = 0;
    this.#contentLength = 0;
    this.#accept = undefined;
    this.#authorization = undefined;
    this.#contentType = undefined;
    this.#tqHeaders = noTqHeaders;
    this.#expectContinue = false;
    this.#keepAlive = true;
  }

  #refuse(code: TransportCode, reason: string): number {
    this.code = code;
    this.reason = reason;
    return ParseOutcome.refused;
  }

  #requestLine(): number {
    const start = this.#at;
    const at = this.#skip(CharClass.token);
    const size = at - start;
    if (size > METHOD_SIZE_MAX) return this.#refuse('method_unknown', 'unknown method');
    if (at === this.#end) return ParseOutcome.incomplete;
    if (size === 0 || this.#bytes[at] !== Char.space) return this.#refuse('http_malformed', 'bad request line');
    const index = methodBytes.findIndex((name) => name.length === size && this.#equals(start, name));
    if (index < 0) return this.#refuse('method_unknown', 'unknown method');
    this.#method = methods[index];
    this.#at = at + 1;
    const outcome = this.#target();
    return outcome > 0 ? this.#version() : outcome;
  }

  #target(): number {
    const bytes = this.#bytes;
    const end = this.#end;
    const start = this.#at;
    const stop = Math.min(end, start + this.#limits.targetBytesMax + 1);
    let queryAt = -1;
    let doubtful = false;
    let at = start;
    for (; at < stop; at++) {
      const byte = bytes[at];
      if ((charClasses[byte] & CharClass.path) !== 0) {
        // Empty and dot segments and escapes are rare: only then each segment is looked at.
        if ((byte === Char.dot || byte === Char.slash) && bytes[at - 1] === Char.slash) doubtful = true;
      } else if (byte === Char.percent) {
        if (!this.#isEscape(at, end)) return this.#refuse('target_invalid', 'bad percent escape');
        doubtful = true;
      } else if (byte === Char.question) {
        if (queryAt < 0) queryAt = at;
      } else break;
    }
    if (at > start && bytes[start] !== Char.slash) return this.#refuse('target_invalid', 'not in origin form');
    if (at - start > this.#limits.targetBytesMax) return this.#refuse('target_too_long', 'target too long');
    if (at === end) return ParseOutcome.incomplete;
    if (bytes[at] === Char.cr || bytes[at] === Char.lf) return this.#refuse('http_malformed', 'no version');
    if (at === start || bytes[at] !== Char.space) return this.#refuse('target_invalid', 'bad character in target');
    this.#path = this.#text(start, queryAt < 0 ? at : queryAt);
    this.#query = queryAt < 0 ? '' : this.#text(queryAt + 1, at);
    if (doubtful && !isPathDecodable(this.#path)) return this.#refuse('target_invalid', 'bad path segment');
    this.#at = at + 1;
    return 1;
  }

  /** A percent sign and two hexadecimal digits, or the beginning of that when the bytes end here. */
  #isEscape(at: number, end: number): boolean {
    for (let i = at + 1; i < at + 3 && i < end; i++) {
      if ((charClasses[this.#bytes[i]] & CharClass.hex) === 0) return false;
    }
    return true;
  }

  #version(): number {
    const at = this.#at;
    if (this.#end - at < VERSION_SIZE) return ParseOutcome.incomplete;
    if (!this.#equals(at, versionBytes)) {
      const text = this.#text(at, at + VERSION_SIZE);
      if (/^HTTP\/\d\.\d$/.test(text)) return this.#refuse('version_unsupported', 'not HTTP/1.1');
      return this.#refuse('http_malformed', 'bad version');
    }
    this.#at = at + VERSION_SIZE;
    return this.#lineEnd();
  }

  /** Takes CR LF. */
  #lineEnd(): number {
    const at = this.#at;
    if (at < this.#end && this.#bytes[at] !== Char.cr) return this.#refuse('http_malformed', 'bad character in line');
    if (at + 1 >= this.#end) return ParseOutcome.incomplete;
    if (this.#bytes[at + 1] !== Char.lf) return this.#refuse('http_malformed', 'bare CR');
    this.#at = at + 2;
    return 1;
  }

  #fields(): number {
    const bytes = this.#bytes;
    for (let count = 0; ; count++) {
      if (this.#at === this.#end) return ParseOutcome.incomplete;
      if (bytes[this.#at] === Char.cr) return this.#lineEnd();
      if (count === this.#limits.headFieldsMax) return this.#refuse('head_too_large', 'too many fields');
      const outcome = this.#field();
      if (outcome <= 0) return outcome;
    }
  }

  #field(): number {
    const bytes = this.#bytes;
    const nameStart = this.#at;
    const nameEnd = this.#skip(CharClass.token);
    if (nameEnd === this.#end) return ParseOutcome.incomplete;
    if (nameEnd === nameStart || bytes[nameEnd] !== Char.colon)
      return this.#refuse('http_malformed', 'bad header name');
    this.#at = nameEnd + 1;
    let valueEnd = this.#skip(CharClass.value);
    let valueStart = nameEnd + 1;
    while (valueStart < valueEnd && isSpace(bytes[valueStart])) valueStart++;
    this.#at = valueEnd;
    const outcome = this.#lineEnd();
    if (outcome <= 0) return outcome;
    while (valueEnd > valueStart && isSpace(bytes[valueEnd - 1])) valueEnd--;
    return this.#header(nameStart, nameEnd, valueStart, valueEnd);
  }

  #header(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): number {
    const size = nameEnd - nameStart;
    const candidates = size < namesByLength.length ? namesByLength[size] : namesByLength[0];
    for (let i = 0; i < candidates.length; i++) {
      const { bit, name } = candidates[i];
      if (!this.#equalsLower(nameStart, name)) continue;
      if ((this.#seen & bit) !== 0) return this.#refuse('http_malformed', 'a header that may come once came twice');
      this.#seen |= bit;
      return this.#knownHeader(bit, valueStart, valueEnd);
    }
    if (this.#isTqName(nameStart, nameEnd)) return this.#tqHeader(nameStart, nameEnd, valueStart, valueEnd);
    return 1;
  }

  #knownHeader(bit: number, start: number, end: number): number {
    switch (bit) {
      case known.host:
        return this.#hostHeader(start, end);
      case known.contentLength:
        return this.#lengthHeader(start, end);
      case known.connection:
        return this.#connectionHeader(start, end);
      case known.transferEncoding:
        return this.#refuse('transfer_encoding_refused', 'Transfer-Encoding');
      case known.upgrade:
        return this.#refuse('http_malformed', 'Upgrade is not supported');
      case known.expect:
        if (this.#text(start, end).toLowerCase() !== '100-continue') {
          return this.#refuse('expectation_failed', 'unknown expectation');
        }
        this.#expectContinue = true;
        return 1;
      case known.accept:
        this.#accept = this.#text(start, end);
        return 1;
      case known.authorization:
        this.#authorization = this.#text(start, end);
        return 1;
      default:
        this.#contentType = this.#text(start, end);
        return 1;
    }
  }

  #hostHeader(start: number, end: number): number {
    if (start === end) return this.#refuse('http_malformed', 'empty Host');
    for (let i = start; i < end; i++) {
      if ((charClasses[this.#bytes[i]] & CharClass.host) === 0) return this.#refuse('http_malformed', 'bad Host');
    }
    this.#host = this.#text(start, end);
    return 1;
  }

  #lengthHeader(start: number, end: number): number {
    const bytes = this.#bytes;
    const count = end - start;
    const leadingZero = count > 1 && bytes[start] === Char.zero;
    if (count === 0 || leadingZero) return this.#refuse('http_malformed', 'bad Content-Length');
    let value = 0;
    for (let i = start; i < end; i++) {
      if ((charClasses[bytes[i]] & CharClass.digit) === 0) return this.#refuse('http_malformed', 'bad Content-Length');
      if (i - start < LENGTH_DIGITS_MAX) value = value * 10 + (bytes[i] - Char.zero);
    }
    this.#contentLength = count > LENGTH_DIGITS_MAX ? Number.MAX_SAFE_INTEGER : value;
    return 1;
  }

  #connectionHeader(start: number, end: number): number {
    for (const item of this.#text(start, end).toLowerCase().split(',')) {
      const option = item.trim();
      if (option === 'close') this.#keepAlive = false;
      else if (option !== 'keep-alive') return this.#refuse('http_malformed', 'unknown connection option');
    }
    return 1;
  }

  #isTqName(start: number, end: number): boolean {
    return (
      end - start > 3 &&
      (this.#bytes[start] | 32) === 0x74 &&
      (this.#bytes[start + 1] | 32) === 0x71 &&
      this.#bytes[start + 2] === 0x2d
    );
  }

  #tqHeader(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): number {
    const name = this.#text(nameStart, nameEnd).toLowerCase();
    for (let i = 0; i < this.#tqHeaders.length; i += 2) {
      if (this.#tqHeaders[i] === name) {
        return this.#refuse('http_malformed', 'a header that may come once came twice');
      }
    }
    this.#tqHeaders = [...this.#tqHeaders, name, this.#text(valueStart, valueEnd)];
    return 1;
  }

  /** What only the whole head can tell. */
  #conclude(): number {
    if ((this.#seen & known.host) === 0) return this.#refuse('http_malformed', 'no Host');
    const takesBody = this.#method === 'POST' || this.#method === 'PUT';
    if (takesBody && (this.#seen & known.contentLength) === 0) return this.#refuse('length_required', 'no length');
    if (!takesBody && this.#contentLength > 0) return this.#refuse('body_unexpected', 'body without a use');
    if (this.#contentLength > this.#limits.bodyBytesMax) return this.#refuse('body_too_large', 'Content-Length');
    this.head = {
      method: this.#method,
      path: this.#path,
      query: this.#query,
      contentLength: this.#contentLength,
      host: this.#host,
      accept: this.#accept,
      authorization: this.#authorization,
      contentType: this.#contentType,
      tqHeaders: this.#tqHeaders,
      expectContinue: this.#expectContinue,
      keepAlive: this.#keepAlive,
    };
    return 1;
  }

  #text(start: number, end: number): string {
    return this.#bytes.toString('latin1', start, end);
  }

  /** The first position from here on whose byte is not of the class. */
  #skip(bit: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at;
    while (at < end && (charClasses[bytes[at]] & bit) !== 0) at++;
    return at;
  }

  #equals(at: number, expected: Uint8Array): boolean {
    for (let i = 0; i < expected.length; i++) {
      if (this.#bytes[at + i] !== expected[i]) return false;
    }
    return true;
  }

  /** `expected` is in lower case. Setting bit 5 of a token character maps no other one onto a letter or "-". */
  #equalsLower(at: number, expected: Uint8Array): boolean {
    for (let i = 0; i < expected.length; i++) {
      if ((this.#bytes[at + i] | 32) !== expected[i]) return false;
    }
    return true;
  }
}

function isSpace(byte: number): boolean {
  return byte === Char.space || byte === Char.tab;
}
