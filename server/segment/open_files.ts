/**
 * The open files of segments: a store of any size holds a bounded number of descriptors.
 *
 * A segment is born with its file open. Once nobody writes, syncs or reads it, the file may be closed to make room for
 * others, the least recently used first; the next reader opens it again.
 *
 * Invariants: a file that is written, synced or used is not closed, and its segment is not given to others; users that
 * come together share one opening.
 */
import type { File } from '../env/env.ts';
import { FsError } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { Segment } from './segment.ts';

const OPEN_FILES_MAX = 1_024;

export class OpenFiles {
  readonly #openFile: (id: number) => Promise<File>;
  readonly #max: number;
  /** Least recently used first. */
  readonly #open = new Set<Segment>();
  readonly #opening = new Map<Segment, Promise<File>>();
  readonly #users = new Map<Segment, number>();

  constructor(options: { open: (id: number) => Promise<File>; max?: number }) {
    this.#openFile = options.open;
    this.#max = options.max ?? OPEN_FILES_MAX;
  }

  get count(): number {
    return this.#open.size;
  }

  /** A new segment has its file open. */
  add(segment: Segment): void {
    this.#open.add(segment);
  }

  /** The segment's file is someone else's now, or gone. */
  forget(segment: Segment): void {
    this.#open.delete(segment);
  }

  /** Opens the file when it is closed. Rejects with `data_corrupt` when it is not there. */
  async open(segment: Segment): Promise<File> {
    this.#open.delete(segment);
    this.#open.add(segment);
    if (segment.file !== null) return segment.file;
    let opening = this.#opening.get(segment);
    if (opening === undefined) {
      opening = this.#openFile(segment.id).finally(() => this.#opening.delete(segment));
      this.#opening.set(segment, opening);
    }
    try {
      segment.file = await opening;
      return segment.file;
    } catch (error) {
      this.#open.delete(segment);
      if (!(error instanceof FsError) || error.code !== 'ENOENT') throw error;
      throw new StoreError('data_corrupt', { segment: segment.id, reason: 'its file is missing' });
    }
  }

  /** Whether a call of `use` is under way. */
  isUsed(segment: Segment): boolean {
    return this.#users.has(segment);
  }

  /** Does something with the file, which belongs to the segment from this turn on until it is done. */
  async use<T>(segment: Segment, action: (file: File) => Promise<T>): Promise<T> {
    this.#users.set(segment, (this.#users.get(segment) ?? 0) + 1);
    try {
      return await action(await this.open(segment));
    } finally {
      const left = this.#users.get(segment)! - 1;
      if (left > 0) this.#users.set(segment, left);
      else this.#users.delete(segment);
      await this.trim();
    }
  }

  /** Closes files that nobody uses while too many are open. */
  async trim(): Promise<void> {
    for (const segment of this.#open) {
      if (this.#open.size <= this.#max) return;
      if (!this.#isIdle(segment)) continue;
      const { file } = segment;
      this.#open.delete(segment);
      segment.file = null;
      await file?.close();
    }
  }

  #isIdle(segment: Segment): boolean {
    const isWritten = !segment.sealed || segment.filling > 0 || segment.dirty || segment.syncing !== null;
    return !isWritten && !this.isUsed(segment) && !this.#opening.has(segment);
  }
}
