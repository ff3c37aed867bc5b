/**
 * Entries for key-value stores, made from their number alone, so that what a store gives back can be checked without
 * keeping it: 16 bytes of key, 32 of value.
 *
 *   random key  | scrambled number u64 | zeros ...| number u32 |         sorted key  | zeros ... | number u32 |
 */

export const KEY_SIZE = 16;
export const VALUE_SIZE = 32;
export const ENTRY_SIZE = KEY_SIZE + VALUE_SIZE;

/** A mixer of 32 bits without a fixed point but 0 (Wellons, "lowbias32"). */
export function scramble(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

export type KeyOf = (number: number) => Buffer;

export const randomKey: KeyOf = (number) => {
  const key = Buffer.alloc(KEY_SIZE);
  key.writeUInt32BE(scramble(number), 0);
  key.writeUInt32BE(scramble(number + 0x9e3779b9), 4);
  key.writeUInt32BE(number, 12);
  return key;
};

export const sortedKey: KeyOf = (number) => {
  const key = Buffer.alloc(KEY_SIZE);
  key.writeUInt32BE(number, 12);
  return key;
};

export const numberOf = (key: Uint8Array): number =>
  ((key[12] << 24) | (key[13] << 16) | (key[14] << 8) | key[15]) >>> 0;

/** `salt` tells one generation of values from the next. */
export function valueOf(number: number, salt = 0): Buffer {
  const value = Buffer.allocUnsafe(VALUE_SIZE);
  const seed = scramble(number ^ scramble(salt));
  for (let at = 0; at < VALUE_SIZE; at += 4) value.writeUInt32LE(scramble(seed + at), at);
  return value;
}

/** Throws unless a store gave back the value of a number; null stands for a key that it should not have. */
export function check(value: Uint8Array | null | undefined, number: number | null, salt = 0): void {
  const isRight =
    number === null
      ? value === null || value === undefined
      : value && Buffer.compare(value, valueOf(number, salt)) === 0;
  if (!isRight) throw new Error(`wrong value for ${number}`);
}

export interface Batch {
  readonly keys: Buffer[];
  readonly values: Buffer[];
}

export function makeBatch(keyOf: KeyOf, from: number, to: number, salt = 0): Batch {
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  for (let number = from; number < to; number++) {
    keys.push(keyOf(number));
    values.push(valueOf(number, salt));
  }
  return { keys, values };
}
