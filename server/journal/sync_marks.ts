/**
 * Two files that say up to which LSN something was synced, for the next start on the same boot of the machine.
 *
 *   journal.synced     the journal          journal.durable     the journal, and the bytes that its events name
 *
 *   | u64 LSN | u64 xxh64 of it | u64 LSN | u64 xxh64 of it |     by turns, so that one outlives a torn write
 *
 * They are written after each sync, before anybody hears of it, and never synced themselves: they need not outlive the
 * page cache, since after a power cut all that can be read is on the disk. Watermarks of records say the same, but only
 * with the next record.
 *
 * Invariant: LSNs only rise, and whatever is read, be it old, was synced up to there.
 */
import type { Core } from '@transfer-queue/core/wasm';
import { FsError, type Env, type File } from '../env/env.ts';
import { readNumber, writeNumber } from './bytes.ts';
import { hashMatches } from './format.ts';

const SIZE = 16;

export interface Synced {
  readonly synced: number;
  readonly durable: number;
}

interface Place {
  readonly env: Env;
  readonly core: Core;
  /** Of the journal: they stand beside it. */
  readonly directory: string;
}

export class SyncMarks {
  readonly #synced: Mark;
  readonly #durable: Mark;

  constructor(place: Place) {
    this.#synced = new Mark(place, 'synced');
    this.#durable = new Mark(place, 'durable');
  }

  raiseSynced(lsn: number): Promise<void> {
    return this.#synced.raise(lsn);
  }

  raiseDurable(lsn: number): Promise<void> {
    return this.#durable.raise(lsn);
  }

  async close(): Promise<void> {
    await this.#synced.close();
    await this.#durable.close();
  }
}

/** What the marks say; 0 where there is none. */
export async function readSyncMarks(place: Place): Promise<Synced> {
  return { synced: await readMark(place, 'synced'), durable: await readMark(place, 'durable') };
}

class Mark {
  readonly #place: Place;
  readonly #name: keyof Synced;
  #file: File | null = null;
  #lsn = 0;
  #writes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(place: Place, name: keyof Synced) {
    this.#place = place;
    this.#name = name;
  }

  /** Resolves when it says so. A full disk may keep it from that: the next start writes more than it must. */
  raise(lsn: number): Promise<void> {
    if (lsn > this.#lsn) {
      this.#lsn = lsn;
      this.#writing = this.#writing.then(() => this.#write(lsn));
    }
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #write(lsn: number): Promise<void> {
    const { env, core, directory } = this.#place;
    const bytes = Buffer.alloc(SIZE);
    writeNumber(bytes, 0, lsn);
    core.xxh64Into(bytes.subarray(0, 8), bytes.subarray(8));
    try {
      this.#file ??= await env.fs.open(`${directory}.${this.#name}`, { create: true });
      await this.#file.pwrite(bytes, SIZE * (this.#writes++ % 2));
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENOSPC') return;
      env.crash('a write of a mark of the journal failed', error);
    }
  }
}

async function readMark({ env, core, directory }: Place, name: keyof Synced): Promise<number> {
  const bytes = Buffer.alloc(2 * SIZE);
  try {
    const file = await env.fs.open(`${directory}.${name}`);
    await file.pread(bytes, 0).finally(() => file.close());
  } catch (error) {
    if (error instanceof FsError && error.code === 'ENOENT') return 0;
    throw error;
  }
  const said = [bytes.subarray(0, SIZE), bytes.subarray(SIZE)].filter((mark) =>
    hashMatches(core, mark.subarray(0, 8), mark.subarray(8)),
  );
  return Math.max(0, ...said.map((mark) => readNumber(mark, 0)));
}
