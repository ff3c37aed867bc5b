/** Cryptographic digests, from Node. Checksums of data are xxh64 and come from core.wasm. */
import { createHash, createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

export function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** SHA-256 of bytes that come piece by piece. */
export class Sha256 {
  readonly #hash = createHash('sha256');

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** In hexadecimal; ends the hash. */
  finish(): string {
    return this.#hash.digest('hex');
  }
}

/** The key of many MACs, made once: that takes five times as long as a MAC. */
export function macKey(bytes: Uint8Array): KeyObject {
  return createSecretKey(bytes);
}

export function hmacSha256(key: KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** Compares in a time that depends on the length only. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
