/**
 * The vectors of blocks and filters, from encoders that know nothing of core.wasm: they follow the grammar at the top
 * of core/assembly/lsm/block.ts and filter.ts as it reads. Bytes are hex; a value of null is a deletion.
 */
import xxhash from 'xxhash-wasm';

const { h64Raw } = await xxhash();

export interface Version {
  readonly key: Uint8Array;
  readonly lsn: number;
  readonly value: Uint8Array | null;
}

const GROUP_ENTRIES = 16;
const SHARING_SIZE_MAX = 255;
const FILTER_BITS_PER_KEY = 10;
const FILTER_PROBES = 7;

export function varintOf(value: bigint): number[] {
  return value < 128n ? [Number(value)] : [Number(value % 128n) + 128, ...varintOf(value / 128n)];
}

function commonOf(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  while (count < a.length && count < b.length && a[count] === b[count]) count++;
  return count;
}

const zigzagOf = (value: bigint): bigint => (value < 0n ? -2n * value - 1n : 2n * value);

function entryOf({ key, lsn, value }: Version, before: Version): number[] {
  const shared = commonOf(before.key, key);
  const stamp = zigzagOf(BigInt(lsn) - BigInt(before.lsn)) * 2n + (value === null ? 1n : 0n);
  const head = [BigInt(shared), BigInt(key.length - shared), stamp].flatMap(varintOf);
  if (value === null) return [...head, ...key.subarray(shared)];
  const sharing = value.length <= SHARING_SIZE_MAX && (before.value?.length ?? 0) <= SHARING_SIZE_MAX;
  const valueShared = sharing ? commonOf(before.value ?? Buffer.of(), value) : 0;
  const sizes = [BigInt(valueShared), BigInt(value.length - valueShared)].flatMap(varintOf);
  return [...head, ...sizes, ...key.subarray(shared), ...value.subarray(valueShared)];
}

export function blockOf(entries: readonly Version[]): Buffer {
  const bytes: number[] = [];
  const restarts: number[] = [];
  const nothing = { key: Buffer.of(), lsn: entries[0].lsn, value: null };
  entries.forEach((entry, i) => {
    const restart = i % GROUP_ENTRIES === 0;
    if (restart) restarts.push(bytes.length);
    bytes.push(...entryOf(entry, restart ? nothing : entries[i - 1]));
  });
  const trailer = Buffer.alloc(12);
  trailer.writeUInt16LE(entries.length, 0);
  trailer.writeUInt16LE(restarts.length, 2);
  trailer.writeBigUInt64LE(BigInt(entries[0].lsn), 4);
  const starts = restarts.flatMap((start) => [start % 256, start >> 8]);
  return Buffer.concat([Buffer.from(bytes), Buffer.from(starts), trailer]);
}

/** Reads varints of at most so many bytes within [at, end); throws behind it. */
class Reader {
  at = 0;
  readonly bytes: Uint8Array;
  readonly end: number;

  constructor(bytes: Uint8Array, end: number) {
    this.bytes = bytes;
    this.end = end;
  }

  take(count: number): Uint8Array {
    if (this.at + count > this.end) throw new Error('behind the end');
    return this.bytes.subarray(this.at, (this.at += count));
  }

  varint(sizeMax: number): bigint {
    const [byte] = this.take(1);
    if (byte < 128) return BigInt(byte);
    if (sizeMax === 1) throw new Error('a varint too long');
    return BigInt(byte - 128) + 128n * this.varint(sizeMax - 1);
  }

  size(): number {
    return Number(this.varint(2));
  }
}

function readEntry(reader: Reader, before: Version): Version {
  const [shared, unshared, stamp] = [reader.size(), reader.size(), reader.varint(8)];
  const isPut = stamp % 2n === 0n;
  const [valueShared, valueUnshared] = isPut ? [reader.size(), reader.size()] : [0, 0];
  const key = Buffer.concat([before.key.subarray(0, shared), reader.take(unshared)]);
  const valueBefore = before.value ?? Buffer.of();
  const value = Buffer.concat([valueBefore.subarray(0, valueShared), reader.take(valueUnshared)]);
  const zigzag = stamp / 2n;
  const lsn = BigInt(before.lsn) + (zigzag % 2n === 0n ? zigzag / 2n : -(zigzag + 1n) / 2n);
  const shares = valueShared > 0;
  const fits =
    shared <= before.key.length &&
    key.length <= 255 &&
    valueShared <= valueBefore.length &&
    value.length <= (shares ? SHARING_SIZE_MAX : 8192) &&
    (!shares || valueBefore.length <= SHARING_SIZE_MAX) &&
    lsn >= 0n &&
    lsn <= BigInt(Number.MAX_SAFE_INTEGER);
  if (!fits) throw new Error('an entry that does not fit to the one before');
  return { key, lsn: Number(lsn), value: isPut ? value : null };
}

/** The entries of a block, in strict order and sharing all they can; throws when the bytes are no block. */
export function entriesOf(bytes: Uint8Array): Version[] {
  const view = Buffer.from(bytes);
  const [count, groups] = [view.readUInt16LE(view.length - 12), view.readUInt16LE(view.length - 10)];
  const base = view.readBigUInt64LE(view.length - 8);
  const end = view.length - 12 - 2 * groups;
  if (count === 0 || groups !== Math.ceil(count / GROUP_ENTRIES) || end < 0) throw new Error('counts');
  if (base > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error('base LSN');
  const reader = new Reader(view, end);
  const entries: Version[] = [];
  for (let i = 0; i < count; i++) {
    const restart = i % GROUP_ENTRIES === 0;
    if (restart && view.readUInt16LE(end + (i / GROUP_ENTRIES) * 2) !== reader.at) throw new Error('restart');
    const before = restart ? { key: Buffer.of(), lsn: Number(base), value: null } : entries[i - 1];
    const { at } = reader;
    const entry = readEntry(reader, before);
    const last = entries.at(-1);
    const order = last ? Buffer.compare(last.key, entry.key) || entry.lsn - last.lsn : -1;
    if (order >= 0) throw new Error('order');
    if (view[at] % 128 !== commonOf(before.key, entry.key) % 128) throw new Error('shares less than it can');
    entries.push(entry);
  }
  if (reader.at !== end) throw new Error('bytes that belong to nothing');
  return entries;
}

/** The value of an index entry. */
export function numbersOf(numbers: readonly number[]): Uint8Array {
  return Buffer.from(numbers.flatMap((number) => varintOf(BigInt(number))));
}

function bitsOf(key: Uint8Array, bits: number): number[] {
  const hash = h64Raw(key);
  const [low, step] = [hash & 0xffffffffn, (hash >> 32n) | 1n];
  return Array.from({ length: FILTER_PROBES }, (_, i) => {
    return Number((((low + BigInt(i) * step) & 0xffffffffn) * BigInt(bits)) >> 32n);
  });
}

export function filterOf(keys: readonly Uint8Array[]): Buffer {
  const size = Math.max(Math.ceil((keys.length * FILTER_BITS_PER_KEY) / 64), 1) * 8;
  const filter = Buffer.alloc(size + 8);
  for (const bit of keys.flatMap((key) => bitsOf(key, size * 8))) filter[bit >> 3] |= 1 << (bit & 7);
  filter.writeUInt32LE(keys.length, size);
  filter.writeUInt32LE(FILTER_PROBES, size + 4);
  return filter;
}

/** Whether a filter takes a key for present. */
export function mayHold(filter: Buffer, key: Uint8Array): boolean {
  return bitsOf(key, (filter.length - 8) * 8).every((bit) => (filter[bit >> 3] & (1 << (bit & 7))) !== 0);
}

const text = (value: string): Uint8Array => Buffer.from(value);

/** Key of a row: a prefix and the id as 8 big-endian bytes. */
export function rowKeyOf(prefix: readonly number[], id: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(id));
  return Buffer.concat([Buffer.from(prefix), bytes]);
}

function exampleBlocks(): Record<string, Version[]> {
  const rows = Array.from({ length: 35 }, (_, i) => {
    return { key: rowKeyOf([1, 0, 0, 7], 1000 + i), lsn: 5000, value: numbersOf([5000 * 1024, i]) };
  });
  const versions = [9007199254740991, 70000, 69999, 3, 0].map((lsn, i) => {
    return { key: text('key'), lsn, value: i % 2 === 1 ? null : text('value'.repeat(i)) };
  });
  const sizes = [0, 1, 127, 128, 254, 255].map((size, i) => {
    return { key: new Uint8Array(size).fill(7), lsn: 100 + 1000 * i, value: new Uint8Array(size).fill(i) };
  });
  const values = [255, 255, 256, 255, 1000, 200].map((size, i) => {
    return { key: text(`v${i}`), lsn: 8 - i, value: new Uint8Array(size).fill(1) };
  });
  return { 'one empty key': [{ key: text(''), lsn: 1, value: text('') }], rows, versions, sizes, values };
}

function exampleFilters(): Record<string, Uint8Array[]> {
  return {
    'no keys': [],
    'one empty key': [text('')],
    words: ['a', 'b', 'partition', 'x'.repeat(255)].map(text),
    rows: Array.from({ length: 100 }, (_, i) => rowKeyOf([1, 0, 0, 7], i)),
  };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function lsmVectors() {
  return {
    blocks: Object.entries(exampleBlocks()).map(([name, entries]) => ({
      name,
      entries: entries.map(({ key, lsn, value }) => ({ key: hex(key), lsn, value: value && hex(value) })),
      bytes: hex(blockOf(entries)),
    })),
    filters: Object.entries(exampleFilters()).map(([name, keys]) => {
      return { name, keys: keys.map(hex), bytes: hex(filterOf(keys)) };
    }),
  };
}
