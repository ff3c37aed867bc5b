/**
 * Reads FlatBuffers from outside: every access is checked against the message that holds it.
 *
 *   message   u32 position of the root table | anything
 *   table     i32 distance back to its vtable | fields
 *   vtable    u16 bytes of the vtable | u16 bytes of the table | u16 place of each field in the table, 0 = absent
 *   vector    u32 count | elements          string   u32 count | UTF-8 | NUL
 *
 * Invariants: no read leaves [start, end) of the message; offsets point forward and are aligned as the format demands
 * (all that the C++ verifier demands, since what we accept must be readable there); the bytes visited in one message
 * are bounded, so that tables which are pointed at again and again cost their sender's patience and not ours.
 */
import { malformed } from './refusal.ts';

/** Legitimate writers share a few strings; bytes visited stay far below this multiple of the message. */
const VISITS_PER_BYTE = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One message: the DataView may span more, [start, end) is what belongs to it. */
export class Flatbuffer {
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
  #visitsLeft: number;

  constructor(view: DataView, start: number, end: number) {
    this.view = view;
    this.start = start;
    this.end = end;
    this.#visitsLeft = VISITS_PER_BYTE * (end - start);
  }

  root(): Table {
    return this.tableAt(this.target(this.start));
  }

  /** Checks that `size` bytes at `at`, aligned to `align` within the message, belong to it. */
  check(at: number, size: number, align: number): void {
    if (at < this.start || size < 0 || at + size > this.end) malformed('Arrow metadata points outside its message');
    if ((at - this.start) % align !== 0) malformed('Arrow metadata is misaligned');
    this.#visitsLeft -= size;
    if (this.#visitsLeft < 0) malformed('Arrow metadata points at the same bytes too often');
  }

  /** Where the offset that is stored at `at` leads. */
  target(at: number): number {
    this.check(at, 4, 4);
    const distance = this.view.getUint32(at, true);
    if (distance === 0 || distance > 0x7fffffff) malformed('Arrow metadata holds an invalid offset');
    return at + distance;
  }

  tableAt(at: number): Table {
    this.check(at, 4, 4);
    const vtable = at - this.view.getInt32(at, true);
    this.check(vtable, 4, 2);
    const vtableSize = this.view.getUint16(vtable, true);
    const tableSize = this.view.getUint16(vtable + 2, true);
    if (vtableSize < 4 || vtableSize % 2 !== 0 || tableSize < 4) malformed('Arrow metadata has an invalid table');
    this.check(vtable, vtableSize, 2);
    this.check(at, tableSize, 4);
    return new Table({ buffer: this, at, size: tableSize, vtable, slots: (vtableSize - 4) / 2 });
  }

  stringAt(at: number): string {
    this.check(at, 4, 4);
    const size = this.view.getUint32(at, true);
    this.check(at + 4, size + 1, 1);
    if (this.view.getUint8(at + 4 + size) !== 0) malformed('Arrow metadata has an unterminated string');
    try {
      // A copy, since a decoder may refuse views of a resizable buffer.
      return utf8.decode(new Uint8Array(this.view.buffer, this.view.byteOffset + at + 4, size).slice());
    } catch {
      return malformed('Arrow metadata has a string that is not UTF-8');
    }
  }
}

/** Elements of a vector: the first one's position, and how many there are. */
export interface Vector {
  readonly at: number;
  readonly count: number;
}

const EMPTY: Vector = { at: 0, count: 0 };

/** A table whose vtable and extent were checked. Fields are named by their slot number in the schema. */
export class Table {
  readonly #buffer: Flatbuffer;
  readonly #at: number;
  readonly #size: number;
  readonly #vtable: number;
  readonly #slots: number;

  constructor(place: { buffer: Flatbuffer; at: number; size: number; vtable: number; slots: number }) {
    this.#buffer = place.buffer;
    this.#at = place.at;
    this.#size = place.size;
    this.#vtable = place.vtable;
    this.#slots = place.slots;
  }

  /** Position of a field of `size` bytes, or 0 where the table does not have it. */
  #field(slot: number, size: number): number {
    if (slot >= this.#slots) return 0;
    const place = this.#buffer.view.getUint16(this.#vtable + 4 + 2 * slot, true);
    if (place === 0) return 0;
    const at = this.#at + place;
    if (place < 4 || place + size > this.#size) malformed('Arrow metadata has a field outside its table');
    if ((at - this.#buffer.start) % size !== 0) malformed('Arrow metadata is misaligned');
    return at;
  }

  u8(slot: number): number {
    const at = this.#field(slot, 1);
    return at === 0 ? 0 : this.#buffer.view.getUint8(at);
  }

  i16(slot: number): number {
    const at = this.#field(slot, 2);
    return at === 0 ? 0 : this.#buffer.view.getInt16(at, true);
  }

  i32(slot: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? 0 : this.#buffer.view.getInt32(at, true);
  }

  /** A count or position: an int64 in 0..2^53-1. */
  size64(slot: number): number {
    const at = this.#field(slot, 8);
    return at === 0 ? 0 : readSize64(this.#buffer.view, at);
  }

  has(slot: number): boolean {
    return this.#field(slot, 4) !== 0;
  }

  table(slot: number): Table | null {
    const at = this.#field(slot, 4);
    return at === 0 ? null : this.#buffer.tableAt(this.#buffer.target(at));
  }

  string(slot: number): string | null {
    const at = this.#field(slot, 4);
    return at === 0 ? null : this.#buffer.stringAt(this.#buffer.target(at));
  }

  /** A vector of structs or numbers of `size` bytes. */
  vector(slot: number, size: number): Vector {
    const field = this.#field(slot, 4);
    if (field === 0) return EMPTY;
    const at = this.#buffer.target(field);
    this.#buffer.check(at, 4, 4);
    const count = this.#buffer.view.getUint32(at, true);
    this.#buffer.check(at + 4, count * size, count === 0 ? 1 : Math.min(size, 8));
    return { at: at + 4, count };
  }

  /** A vector of tables, each read by `read`. */
  tables<T>(slot: number, read: (table: Table) => T): T[] {
    const { at, count } = this.vector(slot, 4);
    const all: T[] = [];
    for (let i = 0; i < count; i++) all.push(read(this.#buffer.tableAt(this.#buffer.target(at + 4 * i))));
    return all;
  }
}

/** An int64 that must be a count or position: not negative, and exact as a number. */
export function readSize64(view: DataView, at: number): number {
  const high = view.getInt32(at + 4, true);
  if (high < 0 || high > 0x1fffff) malformed('Arrow metadata holds a size that is negative or beyond 2^53');
  return high * 0x100000000 + view.getUint32(at, true);
}
