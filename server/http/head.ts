/**
 * What a request head says, and the names of the headers that are read.
 *
 * Invariants: every name that is read may come once, so that nobody has to choose; all other headers are checked for
 * their form and forgotten.
 */

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD';

export interface RequestHead {
  readonly method: Method;
  /** ASCII, percent-encoded; every segment is known to pass `decodePathSegment`. */
  readonly path: string;
  /** Without the question mark, percent-encoded; empty when there is none. */
  readonly query: string;
  /** 0 without a body. */
  readonly contentLength: number;
  readonly host: string;
  readonly accept: string | undefined;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  /** Names in lower case and values of the `tq-` headers, in turns. See `tqHeader`. */
  readonly tqHeaders: readonly string[];
  readonly expectContinue: boolean;
  readonly keepAlive: boolean;
}

/** The value of a `tq-` header; the name in lower case. */
export function tqHeader(head: RequestHead, name: string): string | undefined {
  for (let i = 0; i < head.tqHeaders.length; i += 2) {
    if (head.tqHeaders[i] === name) return head.tqHeaders[i + 1];
  }
  return undefined;
}

/** Headers that mean something to the connection or the routes. Each may come once. */
export const known = {
  host: 1,
  contentLength: 2,
  transferEncoding: 4,
  connection: 8,
  expect: 16,
  accept: 32,
  authorization: 64,
  contentType: 128,
  upgrade: 256,
} as const;

interface KnownName {
  readonly bit: number;
  readonly name: Uint8Array;
}

const knownName = (name: string, bit: number): KnownName => ({ bit, name: Buffer.from(name, 'latin1') });

/** By length of the name; no two known names share their length and their first letter. */
export const namesByLength: readonly (readonly KnownName[])[] = [
  [knownName('host', known.host)],
  [knownName('accept', known.accept), knownName('expect', known.expect)],
  [knownName('upgrade', known.upgrade)],
  [knownName('connection', known.connection)],
  [knownName('content-type', known.contentType)],
  [knownName('authorization', known.authorization)],
  [knownName('content-length', known.contentLength)],
  [knownName('transfer-encoding', known.transferEncoding)],
].reduce<KnownName[][]>(
  (table, names) => {
    table[names[0].name.length] = names;
    return table;
  },
  Array.from({ length: 20 }, () => []),
);
