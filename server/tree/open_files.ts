/**
 * The open files of a tree: a tree of any size holds a bounded number of descriptors.
 *
 * Invariants: a file that is being read is not closed; reads that come together share one opening; of the idle ones the
 * least recently used is closed first.
 */
import type { Env, File } from '../env/env.ts';

const OPEN_FILES_MAX = 512;

interface OpenFile {
  readonly opened: Promise<File>;
  users: number;
}

export class OpenFiles {
  readonly #env: Env;
  readonly #max: number;
  /** Least recently used first. */
  readonly #files = new Map<string, OpenFile>();

  constructor(env: Env, max = OPEN_FILES_MAX) {
    this.#env = env;
    this.#max = max;
  }

  get count(): number {
    return this.#files.size;
  }

  /** Resolves to the number of bytes read. */
  read(path: string, into: Uint8Array, position: number): Promise<number> {
    return this.#use(path, (file) => file.pread(into, position));
  }

  size(path: string): Promise<number> {
    return this.#use(path, (file) => file.size());
  }

  /** Nobody reads the file any more. */
  async close(path: string): Promise<void> {
    const open = this.#files.get(path);
    if (open === undefined) return;
    this.#files.delete(path);
    await (await open.opened).close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#files.keys()].map((path) => this.close(path)));
  }

  async #use<T>(path: string, action: (file: File) => Promise<T>): Promise<T> {
    const open = this.#open(path);
    open.users++;
    try {
      return await action(await open.opened);
    } finally {
      open.users--;
      await this.#trim();
    }
  }

  #open(path: string): OpenFile {
    let open = this.#files.get(path);
    if (open === undefined) {
      open = { opened: this.#env.fs.open(path), users: 0 };
      open.opened.catch(() => this.#files.delete(path));
    } else {
      this.#files.delete(path);
    }
    this.#files.set(path, open);
    return open;
  }

  async #trim(): Promise<void> {
    for (const [path, { users }] of this.#files) {
      if (this.#files.size <= this.#max) return;
      if (users === 0) await this.close(path);
    }
  }
}
