/**
 * The files of segments: numbered, recycled, removed. Names never come from outside: a segment is a number.
 *
 * A recycled file keeps its number and its pages, since the first write of a new page costs three to five times a later
 * one; a file that nobody wanted for a while is removed, so that space comes back.
 */
import type { Env, File, Timer } from '../env/env.ts';

const RECYCLED_COUNT_MAX = 64;
const RECYCLED_MS_MAX = 10_000;

interface Recycled {
  readonly id: number;
  readonly file: File;
  readonly size: number;
  readonly sinceMs: number;
}

export function segmentName(id: number): string {
  return `${String(id).padStart(10, '0')}.seg`;
}

export function segmentNumber(name: string): number | null {
  const match = /^(\d{10})\.seg$/.exec(name);
  return match ? Number(match[1]) : null;
}

export class SegmentFiles {
  readonly #env: Env;
  readonly #directory: string;
  readonly #recycledSizeMax: number;
  #numberNext = 1;
  /** Longest here first. */
  #recycled: Recycled[] = [];
  #aging: Timer | null = null;

  constructor(options: { env: Env; directory: string; recycledSizeMax: number }) {
    this.#env = options.env;
    this.#directory = options.directory;
    this.#recycledSizeMax = options.recycledSizeMax;
  }

  /** Bytes of the files that wait to be used again. */
  get recycledSize(): number {
    return this.#recycled.reduce((sum, { size }) => sum + size, 0);
  }

  /** Numbers of the files that are there; later ones are numbered above them. */
  async list(): Promise<number[]> {
    const names = await this.#env.fs.list(this.#directory);
    const ids = names.map(segmentNumber).filter((id) => id !== null);
    for (const id of ids) this.#numberNext = Math.max(this.#numberNext, id + 1);
    return ids;
  }

  /** A number for a segment that lives in memory only. */
  reserveNumber(): { id: number; file: null; fileSize: number } {
    return { id: this.#numberNext++, file: null, fileSize: 0 };
  }

  /** A file for `size` bytes: a recycled one that is not much larger, else a new one whose name is durable. */
  async create(size: number): Promise<{ id: number; file: File; fileSize: number }> {
    const fitting = this.#recycled.filter((file) => file.size <= 2 * size);
    const best = fitting.sort((a, b) => b.size - a.size)[0];
    if (best !== undefined) {
      this.#recycled = this.#recycled.filter((file) => file !== best);
      return { id: best.id, file: best.file, fileSize: best.size };
    }
    await this.#env.fail('segment.create');
    const id = this.#numberNext++;
    const file = await this.#env.fs.open(this.#path(id), { create: true });
    try {
      await this.#env.fail('segment.create.syncdir');
      await this.#env.fs.syncDirectory(this.#directory);
    } catch (error) {
      await this.#discard(id, file);
      throw error;
    }
    return { id, file, fileSize: 0 };
  }

  async open(id: number): Promise<File> {
    await this.#env.fail('segment.open');
    return this.#env.fs.open(this.#path(id));
  }

  async recycle(id: number, file: File | null, size: number): Promise<void> {
    const isWanted = this.recycledSize + size <= this.#recycledSizeMax && this.#recycled.length < RECYCLED_COUNT_MAX;
    if (file === null || size === 0 || !isWanted) return this.#discard(id, file);
    this.#recycled.push({ id, file, size, sinceMs: this.#env.clock.nowMs() });
    this.#ageLater();
  }

  /** Bytes that may still be written here. */
  freeBytes(): Promise<number> {
    return this.#env.fs.freeBytes(this.#directory);
  }

  /** Gives the space of recycled files back at once. */
  async removeRecycled(): Promise<void> {
    const unwanted = this.#recycled;
    this.#recycled = [];
    for (const { id, file } of unwanted) await this.#discard(id, file);
  }

  async remove(id: number): Promise<void> {
    await this.#env.fail('segment.remove');
    await this.#env.fs.unlink(this.#path(id));
  }

  async close(): Promise<void> {
    this.#aging?.cancel();
    await this.removeRecycled();
  }

  async #discard(id: number, file: File | null): Promise<void> {
    await file?.close();
    await this.remove(id);
  }

  /** One timer stands at the time when the file that is here longest has been here long enough. */
  #ageLater(): void {
    const [oldest] = this.#recycled;
    if (this.#aging !== null || oldest === undefined) return;
    const { clock, log } = this.#env;
    this.#aging = clock.after(Math.max(0, oldest.sinceMs + RECYCLED_MS_MAX - clock.nowMs()), () => {
      this.#aging = null;
      this.#removeAged().catch((error: unknown) => log.warn({ err: error }, 'recycled files remain'));
      this.#ageLater();
    });
  }

  async #removeAged(): Promise<void> {
    const deadlineMs = this.#env.clock.nowMs() - RECYCLED_MS_MAX;
    const aged = this.#recycled.filter(({ sinceMs }) => sinceMs <= deadlineMs);
    this.#recycled = this.#recycled.filter(({ sinceMs }) => sinceMs > deadlineMs);
    for (const { id, file } of aged) await this.#discard(id, file);
  }

  #path(id: number): string {
    return `${this.#directory}/${segmentName(id)}`;
  }
}
