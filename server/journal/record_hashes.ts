/**
 * Which records of a file have the hashes that they should: asked record by record, found out by the hundred, since
 * one crossing into WASM costs more than the hash of a short record.
 *
 *   bytes   | record | record | ... | record | rest        checked: a run of records that one window holds
 *             ^ next                         ^ end
 *
 * Invariant: a record counts as checked only where the one before it ended, so that nothing inside of a record is ever
 * taken for one.
 */
import { HASH_MANY_COUNT_MAX, HASH_MANY_SIZE_MAX, type Core } from '@transfer-queue/core/wasm';
import { hashMatches, PAYLOAD_SIZE_MAX, RECORD_HEADER_SIZE, RECORD_MAGIC, recordSize } from './format.ts';

const HASH_SIZE = 8;
/** A header ends with the hash of all before, and that with the hash of the payload. */
const HEADER_HASHED_SIZE = RECORD_HEADER_SIZE - HASH_SIZE;

export class RecordHashes {
  readonly #core: Core;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  /** Header and payload of each record of a window. */
  readonly #starts = new Uint32Array(HASH_MANY_COUNT_MAX);
  readonly #lens = new Uint32Array(HASH_MANY_COUNT_MAX);
  /** From the one to the other stand records with right hashes. */
  #next = 0;
  #end = 0;

  constructor(core: Core, bytes: Buffer) {
    this.#core = core;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Whether a whole record with the right hashes stands at `at`, of which all bytes before `ready` are there. */
  isRight(at: number, ready = this.#bytes.length): boolean {
    if (at !== this.#next || at >= this.#end) {
      this.#next = at;
      this.#end = this.#checkRun(at, ready);
    }
    if (at >= this.#end && !this.#isRightAlone(at, ready)) return false;
    this.#next = at + recordSize(this.#view.getUint32(at + 4, true));
    return true;
  }

  /** Where the records end that begin at `from`, are wholly in one window, and have the right hashes. */
  #checkRun(from: number, ready: number): number {
    const count = this.#gather(from, ready);
    if (count === 0) return from;
    const last = count - 1;
    const end = from + this.#starts[last] + this.#lens[last];
    const slices = { starts: this.#starts, lens: this.#lens, count };
    const hashes = this.#core.xxh64Many(this.#bytes.subarray(from, end), slices);
    const right = this.#countRight(from, hashes, count);
    return right === count
      ? from + this.#starts[last] - RECORD_HEADER_SIZE + recordSize(this.#lens[last])
      : from + this.#starts[right];
  }

  /** Notes header and payload of each record from `from` on that one window holds, as their sizes say. */
  #gather(from: number, ready: number): number {
    const end = Math.min(ready, from + HASH_MANY_SIZE_MAX);
    let count = 0;
    for (let at = from; at + RECORD_HEADER_SIZE <= end && count < HASH_MANY_COUNT_MAX; count += 2) {
      const payloadSize = this.#view.getUint32(at + 4, true);
      const next = at + recordSize(payloadSize);
      if (this.#view.getUint32(at, true) !== RECORD_MAGIC || next > end) break;
      this.#starts[count] = at - from;
      this.#lens[count] = HEADER_HASHED_SIZE;
      this.#starts[count + 1] = at - from + RECORD_HEADER_SIZE;
      this.#lens[count + 1] = payloadSize;
      at = next;
    }
    return count;
  }

  /** How many slices belong to records before the first with a wrong hash. */
  #countRight(from: number, hashes: Uint32Array, count: number): number {
    for (let i = 0; i < count; i += 2) {
      const hashAt = from + this.#starts[i] + HEADER_HASHED_SIZE;
      if (!this.#isHash(hashAt, hashes, i) || !this.#isHash(hashAt - HASH_SIZE, hashes, i + 1)) return i;
    }
    return count;
  }

  #isHash(at: number, hashes: Uint32Array, i: number): boolean {
    const view = this.#view;
    return view.getUint32(at, true) === hashes[2 * i] && view.getUint32(at + 4, true) === hashes[2 * i + 1];
  }

  /** The same for one record, which may be longer than a window. */
  #isRightAlone(at: number, ready: number): boolean {
    const record = this.#bytes.subarray(at, ready);
    if (record.length < RECORD_HEADER_SIZE || record.readUInt32LE(0) !== RECORD_MAGIC) return false;
    const payloadSize = record.readUInt32LE(4);
    if (payloadSize > PAYLOAD_SIZE_MAX || recordSize(payloadSize) > record.length) return false;
    const header = record.subarray(0, HEADER_HASHED_SIZE);
    if (!hashMatches(this.#core, header, record.subarray(HEADER_HASHED_SIZE, RECORD_HEADER_SIZE))) return false;
    const payload = record.subarray(RECORD_HEADER_SIZE, RECORD_HEADER_SIZE + payloadSize);
    return hashMatches(this.#core, payload, header.subarray(-HASH_SIZE));
  }
}
