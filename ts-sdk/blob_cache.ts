/** The blobs that a client used last, by their SHA-256, up to so many bytes. A blob is the same in all partitions. */
export const BLOB_CACHE_BYTES_MAX = 256 << 20;

export class BlobCache {
  readonly #bytesMax: number;
  /** The one that was used last comes last. */
  readonly #blobs = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(digest: string): Uint8Array | undefined {
    const found = this.#blobs.get(digest);
    if (found === undefined) return undefined;
    this.#blobs.delete(digest);
    this.#blobs.set(digest, found);
    return found;
  }

  /** One that is larger than all of the cache is not kept. */
  add(digest: string, bytes: Uint8Array): void {
    if (this.#blobs.has(digest) || bytes.length > this.#bytesMax) return;
    this.#blobs.set(digest, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, { length }] of this.#blobs) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#blobs.delete(oldest);
      this.#bytes -= length;
    }
  }
}
