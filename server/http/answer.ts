/**
 * The head of an answer: a precomputed status line, ready header lines, Content-Length, and Connection when it closes.
 *
 *   HTTP/1.1 200 OK\r\n  {header lines}  Content-Length: 12\r\n  [Connection: close\r\n]  \r\n
 *
 * Invariants: header lines come only from `headerLines`, so no value can smuggle a line of its own. 204 and 304 have
 * neither a body nor a Content-Length.
 */
import type { Socket } from '../env/socket.ts';

declare const checked: unique symbol;

/** Zero or more complete header lines, each ended by CRLF. Make constants of those that do not vary. */
export type HeaderLines = string & { readonly [checked]: true };

const namePattern = /^[A-Za-z][A-Za-z0-9-]*$/;
const valuePattern = /^[\x20-\x7e]*$/;

/** `headerLines('Content-Type', 'application/json', 'TQ-LSN', '17')`. A bad name or value is a bug and throws. */
export function headerLines(...namesAndValues: readonly string[]): HeaderLines {
  if (namesAndValues.length % 2 !== 0) throw new TypeError('headerLines needs names and values in pairs');
  let lines = '';
  for (let i = 0; i < namesAndValues.length; i += 2) {
    const name = namesAndValues[i];
    const value = namesAndValues[i + 1];
    if (!namePattern.test(name)) throw new TypeError(`not a header name: ${JSON.stringify(name)}`);
    if (!valuePattern.test(value)) throw new TypeError(`not a value for header ${name}: ${JSON.stringify(value)}`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines as HeaderLines;
}

/** Joins lines that were checked apart. */
export function joinLines(first: HeaderLines, second: HeaderLines): HeaderLines {
  return (first + second) as HeaderLines;
}

export const noHeaders = headerLines();
export const jsonHeaders = headerLines('Content-Type', 'application/json');
export const continueAnswer: Uint8Array = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  206: 'Partial Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  507: 'Insufficient Storage',
};

const statusLines: readonly string[] = Array.from(
  { length: 600 },
  (_, status) => `HTTP/1.1 ${status} ${reasons[status] ?? 'Unknown'}\r\n`,
);

export function hasNoBody(status: number): boolean {
  return status === 204 || status === 304;
}

/** The head as a string of ASCII characters. */
export function answerHead(status: number, headers: HeaderLines, size: number, closing: boolean): string {
  if (!(status >= 200 && status < 600)) throw new RangeError(`not a final status: ${status}`);
  const length = hasNoBody(status) ? '' : `Content-Length: ${size}\r\n`;
  return statusLines[status] + headers + length + (closing ? 'Connection: close\r\n\r\n' : '\r\n');
}

/** Bodies up to this size are copied before they are sent: that costs less than a vectored write. */
export const COPIED_SIZE_MAX = 16_640;
/** And so are those up to this size whose parts have this much on average. */
const PARTS_SIZE_MAX = 65_536;
const PART_SIZE_MAX = 1_024;

/** Where heads and copied bodies are put together. An answer that the system does not take all at once keeps it. */
let scratch = Buffer.allocUnsafeSlow(24 << 10);

/** Sends a head and the parts of a body (none for HEAD, 204 and 304) as one write. `size` is that of all parts. */
export function writeAnswer(socket: Socket, head: string, parts: readonly Uint8Array[], size: number): void {
  const isCopied = size <= COPIED_SIZE_MAX || (size <= PARTS_SIZE_MAX && size <= parts.length * PART_SIZE_MAX);
  if (!isCopied) {
    socket.write(head === '' ? parts : [Buffer.from(head, 'latin1'), ...parts]);
    return;
  }
  const sizeAll = head.length + size;
  const bytes = sizeAll <= scratch.length ? scratch : Buffer.allocUnsafe(sizeAll);
  let at = bytes.write(head, 'latin1');
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  socket.writeOne(bytes.subarray(0, sizeAll));
  if (bytes === scratch && socket.unsentBytes() > 0) scratch = Buffer.allocUnsafeSlow(scratch.length);
}

export function sizeOf(parts: readonly Uint8Array[]): number {
  let size = 0;
  for (let i = 0; i < parts.length; i++) size += parts[i].length;
  return size;
}
