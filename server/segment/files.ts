/**
 * The files of segments: numbered, recycled, removed. Names never come from outside: a segment is a number.
 *
 * A recycled file keeps its number and its pages, since the first write of a new page costs three to five times a later
 * one; files that nobody wanted for a while are removed, so that space comes back.
 */
import type { Env, File, Timer } from '../env/env.ts';

const RECYCLED_COUNT_MAX = 64;
const RECYCLED_MS_MAX = 20_000;

interface Recycled {
  readonly id: number;
  readonly file: File;
  readonly size: number;
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
  #recycled: Recycled[] = [];
  #trim: Timer | null = null;

  constructor(options: { env: Env; directory: string; recycledSizeMax: number }) {
    this.#env = options.env;
    this.#directory = options.directory;
    this.#recycledSizeMax = options.recycledSizeMax;
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
    const id = this.#numberNext++;
    await this.#env.fail('segment.create');
    const file = await this.#env.fs.open(this.#path(id), { create: true });
    await this.#env.fail('segment.create.syncdir');
    await this.#env.fs.syncDirectory(this.#directory);
    return { id, file, fileSize: 0 };
  }

  async open(id: number): Promise<File> {
    await this.#env.fail('segment.open');
    return this.#env.fs.open(this.#path(id));
  }

  async recycle(id: number, file: File | null, size: number): Promise<void> {
    await this.#env.fail('segment.recycle');
    const held = this.#recycled.reduce((sum, recycled) => sum + recycled.size, 0);
    const isWanted = held + size <= this.#recycledSizeMax && this.#recycled.length < RECYCLED_COUNT_MAX;
    if (file === null || !isWanted) {
      await file?.close();
      return this.remove(id);
    }
    this.#recycled.push({ id, file, size });
    this.#trim?.cancel();
    this.#trim = this.#env.clock.after(RECYCLED_MS_MAX, () => {
      this.removeRecycled().catch((error: unknown) => this.#env.log.warn({ err: error }, 'recycled files remain'));
    });
  }

  /** Gives the space of recycled files back at once. */
  async removeRecycled(): Promise<void> {
    const unwanted = this.#recycled;
    this.#recycled = [];
    for (const { id, file } of unwanted) {
      await file.close();
      await this.remove(id);
    }
  }

  async remove(id: number): Promise<void> {
    await this.#env.fail('segment.remove');
    await this.#env.fs.unlink(this.#path(id));
  }

  async close(): Promise<void> {
    this.#trim?.cancel();
    await this.removeRecycled();
  }

  #path(id: number): string {
    return `${this.#directory}/${segmentName(id)}`;
  }
}
