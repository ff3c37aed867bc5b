/**
 * Writer and reader of small numbers in few bytes.
 *
 *   number   LEB128: 7 bits a byte, the lowest first, bit 7 of a byte: more follow; below 2^53, 8 bytes at most
 *   signed   the same, with the sign in bit 0 (1: below zero) of the first byte; that byte has 6 bits of the number
 *   text     number of bytes, UTF-8
 *   list     of rising numbers: how many, then per run of adjacent ones the gap before it and its length
 *
 * Invariants: the reader never reads beyond its end; bytes that no writer makes are a `FormatError`.
 */
import { FormatError } from '../journal/bytes.ts';

const SIZE_START = 4_096;
/** Bytes of a number. */
const NUMBER_SIZE_MAX = 8;
/** Longer lists than any queue makes are not made from a few bad bytes either. */
const LIST_MAX = 2 ** 24;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class VarintWriter {
  #bytes = Buffer.allocUnsafeSlow(SIZE_START);
  #end = 0;

  get length(): number {
    return this.#end;
  }

  /** A copy of what was written; the writer begins anew. */
  take(): Uint8Array {
    const taken = new Uint8Array(this.#bytes.subarray(0, this.#end));
    this.#end = 0;
    return taken;
  }

  /** Takes back what was written beyond `length`. */
  cut(length: number): void {
    this.#end = length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#end] = value;
    this.#end += 1;
  }

  number(value: number): void {
    this.#reserve(NUMBER_SIZE_MAX);
    this.#rest(value);
  }

  signed(value: number): void {
    this.#reserve(NUMBER_SIZE_MAX);
    const size = Math.abs(value);
    const first = (size % 64) * 2 + (value < 0 ? 1 : 0);
    if (size < 64) {
      this.#bytes[this.#end] = first;
      this.#end += 1;
      return;
    }
    this.#bytes[this.#end] = first | 0x80;
    this.#end += 1;
    this.#rest(Math.floor(size / 64));
  }

  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.number(size);
    this.#reserve(size);
    this.#end += this.#bytes.write(value, this.#end, size, 'utf8');
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }

  list(values: ArrayLike<number>): void {
    this.number(values.length);
    let end = 0;
    for (let i = 0; i < values.length;) {
      const start = values[i];
      const from = i;
      while (i < values.length && values[i] === start + (i - from)) i += 1;
      this.number(start - end);
      this.number(i - from);
      end = start + (i - from);
    }
  }

  #rest(value: number): void {
    let rest = value;
    let at = this.#end;
    for (; rest >= 2 ** 31; rest = Math.floor(rest / 128)) {
      this.#bytes[at] = (rest % 128) | 0x80;
      at += 1;
    }
    for (; rest > 0x7f; rest >>>= 7) {
      this.#bytes[at] = (rest & 0x7f) | 0x80;
      at += 1;
    }
    this.#bytes[at] = rest;
    this.#end = at + 1;
  }

  #reserve(count: number): void {
    const needed = this.#end + count;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
  }
}

export class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.done) throw new FormatError(`${this.#bytes.length - this.#at} bytes too many`);
  }

  u8(): number {
    if (this.done) throw new FormatError(`a byte is missing at ${this.#at}`);
    this.#at += 1;
    return this.#bytes[this.#at - 1];
  }

  number(): number {
    return this.#rest(0, 1);
  }

  signed(): number {
    const first = this.u8();
    let size = (first & 0x7f) >>> 1;
    if (first >= 0x80) size = this.#rest(size, 64);
    if (first % 2 === 1 && size === 0) throw new FormatError('a zero below zero');
    return first % 2 === 1 ? -size : size;
  }

  text(): string {
    const bytes = this.bytes(this.number());
    try {
      return decoder.decode(bytes);
    } catch {
      throw new FormatError('a text that is not UTF-8');
    }
  }

  /** A view. */
  bytes(count: number): Uint8Array {
    if (count > this.#bytes.length - this.#at) throw new FormatError(`${count} bytes wanted at ${this.#at}`);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** What is left, as a view. */
  restBytes(): Uint8Array {
    return this.bytes(this.#bytes.length - this.#at);
  }

  /** Numbers below `end`, rising. */
  list(end: number): Float64Array {
    const count = this.number();
    if (count > LIST_MAX) throw new FormatError(`a list of ${count} numbers`);
    const values = new Float64Array(count);
    let value = 0;
    for (let i = 0; i < count;) {
      const gap = this.number();
      const length = this.number();
      if (length === 0 || length > count - i || (gap === 0 && i > 0))
        throw new FormatError('a run of no length or place');
      value += gap;
      if (value + length > end) throw new FormatError(`a list goes beyond ${end}`);
      for (const next = i + length; i < next; i += 1) values[i] = value++;
    }
    return values;
  }

  /** Adds `unit` times the number that follows; the last byte is 0 only in the number 0. */
  #rest(start: number, unit: number): number {
    let value = start;
    let scale = unit;
    for (let size = 1; ; size += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && (size > 1 || unit > 1)) throw new FormatError('a number that is longer than it need be');
        if (!Number.isSafeInteger(value)) throw new FormatError('a number that exceeds 2^53');
        return value;
      }
      if (size === NUMBER_SIZE_MAX) throw new FormatError('a number of too many bytes');
      scale *= 128;
    }
  }
}
