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

const knownNames: readonly KnownName[] = [
  { bit: known.host, name: Buffer.from('host', 'latin1') },
  { bit: known.contentLength, name: Buffer.from('content-length', 'latin1') },
  { bit: known.transferEncoding, name: Buffer.from('transfer-encoding', 'latin1') },
  { bit: known.connection, name: Buffer.from('connection', 'latin1') },
  { bit: known.expect, name: Buffer.from('expect', 'latin1') },
  { bit: known.accept, name: Buffer.from('accept', 'latin1') },
  { bit: known.authorization, name: Buffer.from('authorization', 'latin1') },
  { bit: known.contentType, name: Buffer.from('content-type', 'latin1') },
  { bit: known.upgrade, name: Buffer.from('upgrade', 'latin1') },
];

const KNOWN_NAME_SIZE_MAX = Math.max(...knownNames.map(({ name }) => name.length));

/** The known names of each length: most other headers are passed over without a comparison. */
export const namesByLength: readonly (readonly KnownName[])[] = Array.from(
  { length: KNOWN_NAME_SIZE_MAX + 1 },
  (_, size) => knownNames.filter(({ name }) => name.length === size),
);
