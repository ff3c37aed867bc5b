/**
 * A file system over another that is only read: what is written, removed or renamed stays in memory. Recovery runs on
 * it as at a start, so that one can see what a start would make of a directory without touching it.
 *
 *   read     page in memory, else the file below, up to where it was cut       pages of 64 KiB, copied when written
 *
 * Invariants: the file system below is asked to open for reading, read and list, nothing else; nothing is ever created
 * there.
 */
import { FsError, type File, type Fs, type OpenOptions } from '../env/env.ts';

const PAGE_SIZE = 64 << 10;
const FREE_BYTES = 2 ** 50;

interface Inode {
  /** Where the bytes below are; null for a file that was made here. */
  readonly base: string | null;
  /** Bytes of the file below that still show. */
  baseSize: number;
  size: number;
  isChanged: boolean;
  readonly pages: Map<number, Buffer>;
}

/** How the directory would differ after what was done to the overlay. */
export interface Changes {
  readonly created: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export class OverlayFs implements Fs {
  readonly #base: Fs;
  /** Files that differ from the ones below, or were looked at; null for those that are gone. */
  readonly #files = new Map<string, Inode | null>();
  /** Paths that were found below. */
  readonly #below = new Set<string>();
  readonly #directories = new Set<string>();
  readonly #open = new Set<File>();

  constructor(base: Fs) {
    this.#base = base;
  }

  get changes(): Changes {
    const created: string[] = [];
    const removed: string[] = [];
    const changed: string[] = [];
    for (const [path, inode] of this.#files) {
      if (inode === null && this.#below.has(path)) removed.push(path);
      else if (inode === null) continue;
      else if (inode.base !== path) created.push(path);
      else if (inode.isChanged) changed.push(path);
    }
    return { created, removed, changed };
  }

  async open(path: string, options?: OpenOptions): Promise<File> {
    const known = this.#files.get(path);
    if (known === null || known?.base === null) return this.#openHere(path, known, options?.create === true);
    let below: File;
    try {
      below = await this.#base.open(known?.base ?? path, { readOnly: true });
    } catch (error) {
      const isMissing = error instanceof FsError && error.code === 'ENOENT' && known === undefined;
      if (!isMissing) throw error;
      return this.#openHere(path, null, options?.create === true);
    }
    this.#below.add(known?.base ?? path);
    const size = await below.size();
    const inode = this.#files.get(path) ?? inodeOf(path, size);
    this.#files.set(path, inode);
    this.#open.add(below);
    const closed = (): Promise<void> => (this.#open.delete(below) ? below.close() : Promise.resolve());
    return new OverlayFile(path, inode, { below, closed });
  }

  async list(directory: string): Promise<string[]> {
    const start = `${directory}/`;
    const below = await this.#base.list(directory).catch((error: unknown) => {
      if (this.#directories.has(directory)) return [];
      throw error;
    });
    const names = new Set(below);
    for (const [path, inode] of this.#files) {
      if (!path.startsWith(start) || path.slice(start.length).includes('/')) continue;
      if (inode === null) names.delete(path.slice(start.length));
      else names.add(path.slice(start.length));
    }
    return [...names];
  }

  makeDirectory(directory: string): Promise<void> {
    this.#directories.add(directory);
    return Promise.resolve();
  }

  async unlink(path: string): Promise<void> {
    await this.#mustBeThere(path, 'unlink');
    this.#files.set(path, null);
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = await this.#mustBeThere(from, 'rename');
    this.#files.set(from, null);
    this.#files.set(to, inode);
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve();
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(FREE_BYTES);
  }

  /** Whoever looks at a directory decides about its lock; see directory.ts. */
  lock(): Promise<{ release(): Promise<void> }> {
    return Promise.resolve({ release: () => Promise.resolve() });
  }

  bootId(): string {
    return this.#base.bootId();
  }

  /** Closes what whoever used it left open. */
  async close(): Promise<void> {
    const open = [...this.#open];
    this.#open.clear();
    for (const file of open) await file.close();
  }

  #openHere(path: string, known: Inode | null, create: boolean): File {
    if (known === null && !create) throw new FsError('ENOENT', path, 'open');
    const inode = known ?? inodeOf(null, 0);
    this.#files.set(path, inode);
    return new OverlayFile(path, inode, null);
  }

  async #mustBeThere(path: string, action: string): Promise<Inode> {
    const known = this.#files.get(path);
    if (known === null) throw new FsError('ENOENT', path, action);
    if (known !== undefined) return known;
    const file = await this.#base.open(path, { readOnly: true });
    this.#below.add(path);
    const size = await file.size();
    await file.close();
    return inodeOf(path, size);
  }
}

function inodeOf(base: string | null, size: number): Inode {
  return { base, baseSize: size, size, isChanged: false, pages: new Map() };
}

class OverlayFile implements File {
  readonly path: string;
  readonly #inode: Inode;
  readonly #below: { readonly below: File; closed(): Promise<void> } | null;

  constructor(path: string, inode: Inode, below: { readonly below: File; closed(): Promise<void> } | null) {
    this.path = path;
    this.#inode = inode;
    this.#below = below;
  }

  async pread(into: Uint8Array, position: number): Promise<number> {
    const count = Math.max(0, Math.min(into.length, this.#inode.size - position));
    const bytes = into.subarray(0, count);
    const shown = Math.max(0, Math.min(count, this.#inode.baseSize - position));
    const read = shown === 0 ? 0 : await this.#below!.below.pread(bytes.subarray(0, shown), position);
    bytes.fill(0, read);
    if (this.#inode.pages.size === 0) return count;
    forEachPage(position, count, ({ page, from, at, length }) => {
      const written = this.#inode.pages.get(page);
      if (written !== undefined) bytes.set(written.subarray(from, from + length), at);
    });
    return count;
  }

  async pwrite(bytes: Uint8Array, position: number): Promise<void> {
    const pages: number[] = [];
    forEachPage(position, bytes.length, ({ page }) => pages.push(page));
    for (const page of pages) await this.#ownPage(page);
    forEachPage(position, bytes.length, ({ page, from, at, length }) => {
      this.#inode.pages.get(page)!.set(bytes.subarray(at, at + length), from);
    });
    this.#inode.size = Math.max(this.#inode.size, position + bytes.length);
    this.#inode.isChanged = true;
  }

  datasync(): Promise<void> {
    return Promise.resolve();
  }

  truncate(size: number): Promise<void> {
    const inode = this.#inode;
    inode.baseSize = Math.min(inode.baseSize, size);
    inode.size = size;
    inode.isChanged = true;
    for (const [page, bytes] of inode.pages) {
      if (page * PAGE_SIZE >= size) inode.pages.delete(page);
      else bytes.fill(0, Math.min(PAGE_SIZE, size - page * PAGE_SIZE));
    }
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#inode.size);
  }

  async close(): Promise<void> {
    await this.#below?.closed();
  }

  /** A page that is written to is taken over whole. */
  async #ownPage(page: number): Promise<void> {
    const { pages } = this.#inode;
    if (pages.has(page)) return;
    const bytes = Buffer.alloc(PAGE_SIZE);
    await this.pread(bytes, page * PAGE_SIZE);
    if (!pages.has(page)) pages.set(page, bytes);
  }
}

interface PagePart {
  readonly page: number;
  /** Inside the page. */
  readonly from: number;
  /** Inside the range. */
  readonly at: number;
  readonly length: number;
}

function forEachPage(position: number, count: number, action: (part: PagePart) => void): void {
  for (let at = 0; at < count;) {
    const page = Math.floor((position + at) / PAGE_SIZE);
    const from = position + at - page * PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - from, count - at);
    action({ page, from, at, length });
    at += length;
  }
}
