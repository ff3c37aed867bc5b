/**
 * The keys of the node's state in the tree. Numbers are big-endian, so that keys sort as their numbers do.
 *
 *   row       01 | u32 partition | u64 id                                      its puts: row_value.ts
 *   record    02 | u32 partition | u8 kind | rest of the key | u16 piece       units of state: records.ts
 *
 * Partition 0 is the node itself. Partition numbers are never used again, so that what a dropped partition leaves is a
 * range of dead keys.
 */
const ROW = 1;
const RECORD = 2;
const ROW_KEY_SIZE = 13;
export const PREFIX_SIZE = 5;
const TWO_32 = 2 ** 32;

/** What the keys of a partition's rows begin with. */
export function rowPrefix(partition: number): Uint8Array {
  return prefix(ROW, partition);
}

export function rowKey(partition: number, id: number): Buffer {
  const key = Buffer.allocUnsafe(ROW_KEY_SIZE);
  key[0] = ROW;
  key.writeUInt32BE(partition, 1);
  setRowId(key, id);
  return key;
}

/** Makes the key of a row that of another row of its partition. */
export function setRowId(key: Buffer, id: number): void {
  writeNumber(key, id, PREFIX_SIZE);
}

export function idOfRowKey(key: Uint8Array): number {
  return readNumber(key, PREFIX_SIZE);
}

export function recordPrefix(partition: number): Uint8Array {
  return prefix(RECORD, partition);
}

/** All keys of a partition, as two ranges: its rows and its records. */
export function rangesOf(partition: number): { start: Uint8Array; end: Uint8Array }[] {
  return [ROW, RECORD].map((space) => ({ start: prefix(space, partition), end: prefix(space, partition + 1) }));
}

/** The range of a partition's rows. */
export function rangeOfRows(partition: number): { start: Uint8Array; end: Uint8Array } {
  return { start: prefix(ROW, partition), end: prefix(ROW, partition + 1) };
}

/** The range of all records. */
export function recordRange(): { start: Uint8Array; end: Uint8Array } {
  return { start: Uint8Array.of(RECORD), end: Uint8Array.of(RECORD + 1) };
}

export function partitionOf(key: Uint8Array): number {
  return ((key[1] << 24) | (key[2] << 16) | (key[3] << 8) | key[4]) >>> 0;
}

/** A safe integer as 8 bytes. */
export function numberKey(...numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(8 * numbers.length);
  for (const [i, number] of numbers.entries()) writeNumber(bytes, number, 8 * i);
  return bytes;
}

export function readNumber(bytes: Uint8Array, at: number): number {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.readUInt32BE(at) * TWO_32 + view.readUInt32BE(at + 4);
}

function writeNumber(bytes: Buffer, number: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(number / TWO_32), at);
  bytes.writeUInt32BE(number % TWO_32, at + 4);
}

function prefix(space: number, partition: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(PREFIX_SIZE);
  bytes[0] = space;
  bytes.writeUInt32BE(partition, 1);
  return bytes;
}
