/**
 * A queue as records: their grammar, and their keys.
 *
 *   key                                                    value
 *   header  0                                              format u8 (2), groupSize, pageBits, sealed u8, pageNext,
 *                                                            version, rows admitted, rows evicted,
 *                                                            arrivals: count, (slotEnd, firstMs, lastMs - firstMs)...
 *                                                            format 1 ends with pageNext
 *   task    1 | index u16                                  name text, fields: count, number each, [rows
 *                                                            skipped: a number that is not 0]
 *   claim   2 | claim u64                                  state u8, then
 *             0 leased, 1 leased but stale, 2 expired        task, [2: order], leaseMs, requestId text,
 *                                                            slots list, [0, 2: orphans list]
 *             3 acked, 4 released, 5 stale                   task, order
 *   unit    3 | page u64 | kind u8 | index u16 | chunk u8  by kind
 *             1 groups, of pageBits / 16 runs                (step signed, repeats)...
 *                                                            group = the one before + step, 0 before the first
 *             2 live, 3 field, 4 taken                       form u8: 0 bytes up to the last that is not 0
 *                                                                     1 (zeros, ones)..., numbers of equal bits
 *             5 marks, of pageBits / 16 slots                (gap, rows, step signed, returns)...
 *                                                            rows with marks after a gap of rows without any;
 *                                                            holder = the one before + step, 0 before the first;
 *                                                            -1: a dead letter that no claim may consume
 *             6 tags, of pageBits / 256 slots                (gap, rows, JSON text)...
 *             7 numbers, of pageBits / 16 slots              (gap, rows, f64 little-endian)...
 *             8 blobs, of pageBits / 256 slots               (gap, rows, SHA-256)...
 *                                                            rows that have the same value, after a gap without any
 *   batch   4 | order u64                                  task, name text, number, outcome u8 (0 none, 1 timed_out,
 *                                                            2 drained), parts, of each (step signed)
 *                                                            claim = the one before + step, 0 before the first
 *
 *   Numbers in keys are big-endian, so that header, tasks and claims come before the pages, and groups before bitmaps.
 *   Values are made of the numbers, texts and lists of varints.ts. Orders count ends and expiries of claims from 1.
 *
 * Not saved is what the rest tells: counts, cursors, the table of groups, which claims a task has; and deadlines,
 * because nobody knows how much of a lease is left after a restart.
 *
 * Invariant: keys in the order of their bytes are in the order in which a queue can be made from them.
 */
import { FormatError } from '../journal/bytes.ts';

/** One unit of queue state: `key` begins after the partition; value null: the unit is gone. */
export interface QueueRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

export const recordKinds = { header: 0, task: 1, claim: 2, unit: 3, batch: 4 } as const;

/** Bytes of a key, by kind. */
const KEY_SIZES = [1, 3, 9, 13, 9];

/** What a key says: the index of a task, the number of a claim, a page and its unit, or the order of a batch. */
export interface ParsedKey {
  readonly kind: number;
  readonly number: number;
  readonly unit: number;
}

export function headerKey(): Uint8Array {
  return Uint8Array.of(recordKinds.header);
}

export function taskKey(index: number): Uint8Array {
  return Uint8Array.of(recordKinds.task, index >> 8, index & 0xff);
}

export function claimKey(claim: number): Uint8Array {
  return keyOf(recordKinds.claim, claim, 9);
}

export function unitKey(page: number, unit: number): Uint8Array {
  const key = keyOf(recordKinds.unit, page, 13);
  new DataView(key.buffer).setUint32(9, unit);
  return key;
}

export function batchKey(order: number): Uint8Array {
  return keyOf(recordKinds.batch, order, 9);
}

export function parseKey(key: Uint8Array): ParsedKey {
  const [kind] = key;
  if (key.length !== KEY_SIZES[kind]) throw new FormatError(`a key of ${key.length} bytes of kind ${kind}`);
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  if (kind === recordKinds.header) return { kind, number: 0, unit: 0 };
  if (kind === recordKinds.task) return { kind, number: view.getUint16(1), unit: 0 };
  const number = view.getUint32(1) * 2 ** 32 + view.getUint32(5);
  if (!Number.isSafeInteger(number)) throw new FormatError('a number in a key exceeds 2^53');
  return { kind, number, unit: kind === recordKinds.unit ? view.getUint32(9) : 0 };
}

/** A key of `size` bytes that begins with its kind and a number. */
function keyOf(kind: number, number: number, size: number): Uint8Array {
  const key = new Uint8Array(size);
  const view = new DataView(key.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, Math.floor(number / 2 ** 32));
  view.setUint32(5, number % 2 ** 32);
  return key;
}
