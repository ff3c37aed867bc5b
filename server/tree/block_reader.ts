/**
 * Reads a data or index block without core.wasm, entry by entry: a second reader of the format that
 * core/assembly/lsm/block.ts describes, for checks and for people who look into a file.
 */

const GROUP_ENTRIES = 16;
const TRAILER_SIZE = 12;
const SHARING_SIZE_MAX = 255;

export interface BlockEntry {
  readonly key: Uint8Array;
  readonly lsn: number;
  /** Null for a deletion. */
  readonly value: Uint8Array | null;
}

/** Null when the bytes are no block. */
export function readBlock(block: Buffer): BlockEntry[] | null {
  if (block.length < TRAILER_SIZE) return null;
  const trailer = block.length - TRAILER_SIZE;
  const count = block.readUInt16LE(trailer);
  const groups = block.readUInt16LE(trailer + 2);
  const end = trailer - 2 * groups;
  if (count === 0 || groups !== Math.ceil(count / GROUP_ENTRIES) || end < 0) return null;
  const reader = new EntryReader(block.subarray(0, end), Number(block.readBigUInt64LE(trailer + 4)));
  const entries: BlockEntry[] = [];
  for (let i = 0; i < count; i++) {
    if (i % GROUP_ENTRIES === 0) {
      if (reader.at !== block.readUInt16LE(end + (2 * i) / GROUP_ENTRIES)) return null;
      reader.beginGroup();
    }
    const entry = reader.next();
    if (entry === null) return null;
    entries.push(entry);
  }
  return reader.at === end ? entries : null;
}

/** The numbers of an entry of an index block: a data block and its filter. */
export function readIndexValue(value: Uint8Array): { readonly block: number; readonly filter: number } | null {
  const reader = new EntryReader(Buffer.from(value), 0);
  const [block, filter] = [reader.varint(), reader.varint()];
  return reader.varint() === -1 || reader.at !== value.length ? null : { block, filter };
}

class EntryReader {
  readonly #bytes: Buffer;
  readonly #baseLsn: number;
  at = 0;
  #key: Uint8Array = Buffer.alloc(0);
  #value: Uint8Array = Buffer.alloc(0);
  #lsn = 0;

  constructor(bytes: Buffer, baseLsn: number) {
    this.#bytes = bytes;
    this.#baseLsn = baseLsn;
  }

  beginGroup(): void {
    this.#key = this.#value = Buffer.alloc(0);
    this.#lsn = this.#baseLsn;
  }

  next(): BlockEntry | null {
    const [shared, unshared, stamp] = [this.varint(), this.varint(), this.#stamp()];
    const isDeletion = (stamp & 1n) === 1n;
    const [valueShared, valueUnshared] = isDeletion ? [0, 0] : [this.varint(), this.varint()];
    if (stamp < 0n || Math.min(shared, unshared, valueShared, valueUnshared) < 0) return null;
    const key = this.#take(this.#key, shared, unshared);
    const value = isDeletion ? Buffer.alloc(0) : this.#take(this.#value, valueShared, valueUnshared);
    if (key === null || value === null) return null;
    const zigzag = stamp >> 1n;
    this.#lsn += Number((zigzag >> 1n) ^ -(zigzag & 1n));
    this.#key = key;
    this.#value = value.length <= SHARING_SIZE_MAX ? value : Buffer.alloc(0);
    return { key, lsn: this.#lsn, value: isDeletion ? null : value };
  }

  /** A varint of up to 56 bits; -1 when there is none. */
  #stamp(): bigint {
    let value = 0n;
    for (let shift = 0n; this.at < this.#bytes.length; shift += 7n) {
      const byte = this.#bytes[this.at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    return -1n;
  }

  /** -1 when there is none. */
  varint(): number {
    let value = 0;
    for (let scale = 1; this.at < this.#bytes.length; scale *= 128) {
      const byte = this.#bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return -1;
  }

  #take(before: Uint8Array, shared: number, unshared: number): Buffer | null {
    const end = this.at + unshared;
    if (shared > before.length || end > this.#bytes.length) return null;
    const whole = Buffer.concat([before.subarray(0, shared), this.#bytes.subarray(this.at, end)]);
    this.at = end;
    return whole;
  }
}
