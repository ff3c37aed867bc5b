/**
 * Little-endian writer and reader of the journal's payloads.
 *
 *   u8 u16 u32   as they are            number   u64, a safe integer
 *   text         u32 length, UTF-8      bytes    u32 length, bytes
 *   numbers      u32 count, u64 each    (ids, lengths, offsets)
 *
 * Invariants: the reader never reads beyond its end, it throws a `FormatError`; every u64 is checked to be a safe
 * integer.
 */
export class FormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FormatError';
  }
}

/** Names up to this size come again and again. */
const NAME_SIZE_MAX = 64;
const NAMES_KEPT = 64;

const TWO_32 = 2 ** 32;
const SIZE_START = 4096;

export class ByteWriter {
  #bytes = Buffer.allocUnsafeSlow(SIZE_START);
  #end = 0;

  get length(): number {
    return this.#end;
  }

  /** A view of what was written; valid until the next write. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  reset(): void {
    this.#end = 0;
  }

  /** Takes back what was written beyond `length`. */
  cut(length: number): void {
    this.#end = length;
  }

  /** Makes room and returns where to write. */
  reserve(count: number): number {
    const at = this.#end;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    this.#end = needed;
    return at;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.#bytes.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  number(value: number): void {
    const at = this.reserve(8);
    writeNumber(this.#bytes, at, value);
  }

  text(value: string): void {
    // Written where it fits in any case: to ask for its size first costs as much again.
    const sizeMost = 3 * value.length;
    const at = this.reserve(4 + sizeMost) + 4;
    const size = this.#bytes.write(value, at, sizeMost, 'utf8');
    this.#bytes.writeUInt32LE(size, at - 4);
    this.#end = at + size;
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    const at = this.reserve(value.length);
    this.#bytes.set(value, at);
  }

  numbers(values: ArrayLike<number>): void {
    this.u32(values.length);
    const at = this.reserve(8 * values.length);
    const { buffer, byteOffset } = this.#bytes;
    const view = new DataView(buffer, byteOffset + at, 8 * values.length);
    for (let i = 0; i < values.length; i++) {
      view.setUint32(8 * i, values[i] % TWO_32, true);
      view.setUint32(8 * i + 4, Math.floor(values[i] / TWO_32), true);
    }
  }
}

/** Reads all of `bytes`, or one part of them after the other: see `turnTo`. */
export class ByteReader {
  readonly #bytes: Buffer;
  /** A DataView reads a number in a few instructions, the methods of a Buffer in a call. */
  readonly #view: DataView;
  /** Names that were read, each at a place that its bytes say. */
  #names: (Name | undefined)[] | null = null;
  #at = 0;
  #end: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#end = bytes.length;
  }

  /** What is read next, and where it ends, within the bytes. */
  turnTo(from: number, end: number): this {
    this.#at = from;
    this.#end = end;
    return this;
  }

  /** What is read next: to look ahead, and to go back. */
  get at(): number {
    return this.#at;
  }

  set at(at: number) {
    this.#at = at;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#end - at) throw new FormatError(`${count} bytes wanted at ${at} of ${this.#end}`);
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  number(): number {
    return numberAt(this.#view, this.#take(8));
  }

  /** How many things follow that take at least `sizeMin` bytes each. */
  count(sizeMin: number): number {
    const count = this.u32();
    if (count * sizeMin > this.#end - this.#at) throw new FormatError(`${count} things wanted at ${this.#at}`);
    return count;
  }

  text(): string {
    const size = this.u32();
    const at = this.#take(size);
    return size === 0 ? '' : this.#bytes.toString('utf8', at, at + size);
  }

  /** As `text`, for what mostly was read before: to make a string of bytes costs more than to compare them. */
  name(): string {
    const size = this.u32();
    const at = this.#take(size);
    if (size === 0 || size > NAME_SIZE_MAX) return size === 0 ? '' : this.#bytes.toString('utf8', at, at + size);
    const bytes = this.#bytes;
    const place = (size + bytes[at] + 7 * bytes[at + size - 1]) % NAMES_KEPT;
    const names = (this.#names ??= new Array<Name | undefined>(NAMES_KEPT).fill(undefined));
    const known = names[place];
    if (known !== undefined && isAt(bytes, at, known.bytes, size)) return known.text;
    const text = bytes.toString('utf8', at, at + size);
    names[place] = { text, bytes: bytes.subarray(at, at + size) };
    return text;
  }

  /** A copy, so that it outlives the buffer it was read from. */
  bytes(): Uint8Array {
    const size = this.u32();
    const at = this.#take(size);
    const copy = new Uint8Array(size);
    for (let i = 0; i < size; i++) copy[i] = this.#bytes[at + i];
    return copy;
  }

  /** The same as a view, which lasts as long as what is read. */
  view(): Uint8Array {
    const size = this.u32();
    const at = this.#take(size);
    return this.#bytes.subarray(at, at + size);
  }

  /** As `numbers`, for few of them. */
  list(): number[] {
    const count = this.count(8);
    const at = this.#take(8 * count);
    // Of the right size at once: an array that grows takes room for 17 numbers at its first.
    const values = new Array<number>(count);
    for (let i = 0; i < count; i++) values[i] = numberAt(this.#view, at + 8 * i);
    return values;
  }

  numbers(): Float64Array {
    const count = this.u32();
    const at = this.#take(8 * count);
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) values[i] = numberAt(this.#view, at + 8 * i);
    return values;
  }
}

interface Name {
  readonly text: string;
  readonly bytes: Uint8Array;
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array, size: number): boolean {
  if (wanted.length !== size) return false;
  for (let i = 0; i < size; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

export function writeNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % TWO_32, at);
  bytes.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
}

export function readNumber(bytes: Buffer, at: number): number {
  return safe(bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_32, at);
}

/** As `readNumber`. */
export function numberAt(view: DataView, at: number): number {
  return safe(view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32, at);
}

function safe(value: number, at: number): number {
  if (value > Number.MAX_SAFE_INTEGER) throw new FormatError(`the number at ${at} exceeds 2^53`);
  return value;
}
