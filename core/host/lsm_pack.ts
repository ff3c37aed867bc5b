/**
 * How keys and entries cross into core.wasm and back, one behind the other without padding:
 *
 *     entry   | key size u8 | kind u8 | value size u16 LE | key | value |
 *     key     | key size u8 | key |
 */
export const KEY_SIZE_MAX = 255;
export const VALUE_SIZE_MAX = 8 << 10;
export const ENTRY_HEAD_SIZE = 4;

/** What the version of a key does; the numbers are those of packed entries. */
export const EntryKind = { absent: 0, put: 1, delete: 2 } as const;

/** Below this a loop is quicker than `set`. */
const LOOP_SIZE_MAX = 48;

export function packedSize(key: Uint8Array, value: Uint8Array | null): number {
  return ENTRY_HEAD_SIZE + key.length + (value === null ? 0 : value.length);
}

/** Writes an entry to `at` and returns where it ends. */
export function packEntry(out: Uint8Array, at: number, key: Uint8Array, value: Uint8Array | null): number {
  const valueSize = value === null ? 0 : value.length;
  if (key.length > KEY_SIZE_MAX) throw new RangeError(`a key of ${key.length} bytes`);
  if (valueSize > VALUE_SIZE_MAX) throw new RangeError(`a value of ${valueSize} bytes`);
  out[at] = key.length;
  out[at + 1] = value === null ? EntryKind.delete : EntryKind.put;
  out[at + 2] = valueSize & 0xff;
  out[at + 3] = valueSize >> 8;
  copyBytes(out, at + ENTRY_HEAD_SIZE, key);
  if (value !== null) copyBytes(out, at + ENTRY_HEAD_SIZE + key.length, value);
  return at + ENTRY_HEAD_SIZE + key.length + valueSize;
}

/** Writes a key to `at` and returns where it ends. */
export function packKey(out: Uint8Array, at: number, key: Uint8Array): number {
  if (key.length > KEY_SIZE_MAX) throw new RangeError(`a key of ${key.length} bytes`);
  out[at] = key.length;
  copyBytes(out, at + 1, key);
  return at + 1 + key.length;
}

/** Copies bytes to a place. */
export function copyBytes(out: Uint8Array, at: number, bytes: Uint8Array): void {
  if (bytes.length > LOOP_SIZE_MAX) {
    out.set(bytes, at);
    return;
  }
  for (let i = 0; i < bytes.length; i++) out[at + i] = bytes[i];
}
