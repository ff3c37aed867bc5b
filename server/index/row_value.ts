/**
 * The value of a row in the tree: its puts, newest first.
 *
 *   value   { varint batch | varint ordinal } ...        varint: 7 bits a byte, low bits first, high bit: more follow
 *
 * Invariants: at least one put, at most `limits.putsPerRowMax`, which fit a value of the tree; a value is read to its
 * last byte or refused.
 */
import { limits } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';

/** Two varints of a put take at most this: 8 bytes for 2^53, 5 for 2^32. */
const PUT_SIZE_MAX = 13;

const written = new Uint8Array(limits.putsPerRowMax * PUT_SIZE_MAX);

/** Valid until the next call. */
export function writePuts(puts: {
  batches: ArrayLike<number>;
  ordinals: ArrayLike<number>;
  count: number;
}): Uint8Array {
  const { batches, ordinals, count } = puts;
  let end = 0;
  for (let i = 0; i < count; i++) end = writeVarint(written, writeVarint(written, end, batches[i]), ordinals[i]);
  return written.subarray(0, end);
}

/** A growing list of puts. */
export class PutList {
  batches: Float64Array;
  ordinals: Uint32Array;
  count = 0;

  constructor(sizeStart: number) {
    this.batches = new Float64Array(sizeStart);
    this.ordinals = new Uint32Array(sizeStart);
  }

  clear(): void {
    this.count = 0;
  }

  add(batch: number, ordinal: number): void {
    if (this.count === this.batches.length) this.#grow();
    this.batches[this.count] = batch;
    this.ordinals[this.count++] = ordinal;
  }

  /** The place of a put in the list, or -1. */
  find(batch: number, ordinal: number): number {
    for (let at = 0; at < this.count; at++) if (this.batches[at] === batch && this.ordinals[at] === ordinal) return at;
    return -1;
  }

  /** Adds the puts of a row, as `writePuts` wrote them: the bytes `[from, to)`. */
  addAll(value: Uint8Array, from = 0, to = value.length): void {
    for (let at = from; at < to; at = varintEnd) {
      const batch = readVarint(value, at, to);
      this.add(batch, readVarint(value, varintEnd, to));
    }
  }

  #grow(): void {
    const { batches, ordinals } = this;
    this.batches = new Float64Array(this.count * 2 + 1);
    this.ordinals = new Uint32Array(this.count * 2 + 1);
    this.batches.set(batches);
    this.ordinals.set(ordinals);
  }
}

function writeVarint(bytes: Uint8Array, from: number, number: number): number {
  let at = from;
  let rest = number;
  while (rest >= 128) {
    bytes[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

/** Where the varint ended that was read last: an object for each would be most of what a reader makes. */
let varintEnd = 0;

function readVarint(bytes: Uint8Array, from: number, to: number): number {
  let number = 0;
  let factor = 1;
  for (let at = from; at < to && at < from + 8; at++) {
    number += (bytes[at] % 128) * factor;
    if (bytes[at] < 128) {
      varintEnd = at + 1;
      return number;
    }
    factor *= 128;
  }
  throw new StoreError('data_corrupt', { reason: 'the index has a row that makes no sense' });
}
