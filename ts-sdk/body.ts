/**
 * Bodies on their way out and in, with the checksum computed as they pass.
 *
 *   Arrow IPC stream ... end-of-stream | "TQXXH64\n" | checksum, 8 bytes, little-endian |
 *   `------------ hashed ------------' `-------------- tail, within Content-Length ----'
 *
 * Invariants: bytes go out in windows of at most WINDOW_SIZE, so that each is hashed and sent while it is in the
 * cache; pieces smaller than JOIN_SIZE are joined first, since every window costs a system call; an answer is
 * received into one buffer and is handed out only when its length and its checksum fit.
 */
import { TAIL_MAGIC, TAIL_SIZE } from '@transfer-queue/core/protocol';
import type { BodyHasher } from '@transfer-queue/core/wasm';
import { core } from './core.ts';
import { catalogueError, clientError } from './errors.ts';

const WINDOW_SIZE = 1 << 20;
const JOIN_SIZE = 64 << 10;
const MAGIC = new TextEncoder().encode(TAIL_MAGIC);

/** The bytes of a request; each attempt reads them anew. */
export interface RequestBody {
  readonly size: number;
  /** A list where all of it is at hand. */
  windows(): readonly Uint8Array[] | Iterable<Uint8Array>;
}

/** A body without a tail, such as JSON. */
export function plainBody(bytes: Uint8Array): RequestBody {
  return { size: bytes.length, windows: () => [bytes] };
}

/** An Arrow body of these pieces in a row; with `tail`, its checksum follows. */
export function arrowBody(pieces: readonly Uint8Array[], { tail }: { tail: boolean }): RequestBody {
  let size = tail ? TAIL_SIZE : 0;
  for (const piece of pieces) size += piece.length;
  const windows = (): Iterable<Uint8Array> => windowsOf(pieces, { size, tail });
  return { size, windows: size <= JOIN_SIZE ? () => [...windows()] : windows };
}

/** Cuts large pieces and joins small ones. What was yielded is not written to again: the socket may still hold it. */
function* windowsOf(pieces: readonly Uint8Array[], body: { size: number; tail: boolean }): Generator<Uint8Array> {
  const hasher = body.tail ? core().bodyHasher() : undefined;
  const roomSize = Math.min(body.size, 2 * JOIN_SIZE);
  let room = new Uint8Array(0);
  let used = 0;
  for (const piece of pieces) {
    const isLarge = piece.length >= JOIN_SIZE;
    if (used > 0 && (isLarge || used + piece.length > room.length)) {
      const window = room.subarray(0, used);
      hasher?.update(window);
      yield window;
      room = new Uint8Array(0);
      used = 0;
    }
    for (let at = 0; isLarge && at < piece.length; at += WINDOW_SIZE) {
      const window = piece.subarray(at, at + WINDOW_SIZE);
      hasher?.update(window);
      yield window;
    }
    if (isLarge) continue;
    if (room.length === 0) room = new Uint8Array(roomSize);
    room.set(piece, used);
    used += piece.length;
  }
  hasher?.update(room.subarray(0, used));
  yield* lastWindows(room.subarray(0, used), hasher === undefined ? undefined : tailOf(hasher));
}

/** What was left over and the tail go out in one window: a small put is then one write. */
function lastWindows(rest: Uint8Array, tail: Uint8Array | undefined): Uint8Array[] {
  if (tail === undefined) return rest.length > 0 ? [rest] : [];
  const last = new Uint8Array(rest.length + tail.length);
  last.set(rest);
  last.set(tail, rest.length);
  return [last];
}

function tailOf(hasher: BodyHasher): Uint8Array {
  const tail = new Uint8Array(TAIL_SIZE);
  tail.set(MAGIC);
  tail.set(hasher.finish(), MAGIC.length);
  return tail;
}

/** Takes the chunks of an answer. */
export interface BodyReceiver {
  take(chunk: Uint8Array): void;
  /** The whole body, checked, without its tail. */
  finish(): Uint8Array;
}

/** A receiver for an answer of `size` bytes, or of unknown length, which only an intermediary's error page has. */
export function bodyReceiver({ size, hasTail }: { size: number | undefined; hasTail: boolean }): BodyReceiver {
  if (size === undefined) return new JoiningReceiver();
  if (hasTail && size < TAIL_SIZE) throw clientError('answer_invalid', 'The answer is shorter than its tail.');
  return new SizedReceiver(size, hasTail);
}

/** Bodies up to this size are hashed when all of them is there: they are still in the cache then. */
const HASHED_WHOLE_SIZE_MAX = 64 << 10;

class SizedReceiver implements BodyReceiver {
  readonly #bytes: Uint8Array;
  readonly #hasTail: boolean;
  readonly #hashedSize: number;
  readonly #hasher: BodyHasher | undefined;
  #received = 0;

  constructor(size: number, hasTail: boolean) {
    this.#bytes = new Uint8Array(size);
    this.#hasTail = hasTail;
    this.#hashedSize = hasTail ? size - TAIL_SIZE : 0;
    this.#hasher = this.#hashedSize > HASHED_WHOLE_SIZE_MAX ? core().bodyHasher() : undefined;
  }

  take(chunk: Uint8Array): void {
    const at = this.#received;
    if (at + chunk.length > this.#bytes.length)
      throw clientError('answer_invalid', 'The answer is longer than it said.');
    this.#bytes.set(chunk, at);
    this.#received += chunk.length;
    if (this.#hasher === undefined) return;
    const toHash = Math.min(this.#hashedSize - at, chunk.length);
    if (toHash > 0) this.#hasher.update(chunk.subarray(0, toHash));
  }

  finish(): Uint8Array {
    if (this.#received !== this.#bytes.length) throw clientError('connection_failed', 'The answer ended too early.');
    if (!this.#hasTail) return this.#bytes;
    const body = this.#bytes.subarray(0, this.#hashedSize);
    if (!hasAt(this.#bytes, this.#hashedSize, MAGIC)) throw clientError('answer_invalid', 'The answer has no tail.');
    const checksum = this.#hasher?.finish() ?? checksumOf(body);
    if (!hasAt(this.#bytes, this.#hashedSize + MAGIC.length, checksum)) {
      throw catalogueError('checksum_mismatch', 'The bytes that arrived are not the bytes that the server sent.');
    }
    return body;
  }
}

/** An error page longer than this is cut: only its status matters. */
const UNSIZED_SIZE_MAX = 1 << 20;

class JoiningReceiver implements BodyReceiver {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  take(chunk: Uint8Array): void {
    if (this.#size + chunk.length > UNSIZED_SIZE_MAX) return;
    this.#chunks.push(chunk.slice());
    this.#size += chunk.length;
  }

  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }
}

const wholeChecksum = new Uint8Array(8);

/** Valid until the next call. */
function checksumOf(body: Uint8Array): Uint8Array {
  core().bodyChecksumInto(body, wholeChecksum);
  return wholeChecksum;
}

function hasAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}
