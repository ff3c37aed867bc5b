/**
 * The file system of the simulation: the interface of `Fs` over a `Disk`, with faults that tests plant.
 *
 * Faults: an errno from any call, as often as asked; a write that leaves a part behind; a full disk, by `capacity`; a
 * failed sync after which the system calls the pages clean, so that a later sync succeeds and a power cut loses them.
 *
 * After the run: `afterCrash` is what a new process finds, `afterPowerCut` what a new boot finds. For crashes at every
 * op, `record` the run and see crash_images.ts.
 */
import { FsError, type File, type Fs, type OpenOptions } from '../../../server/env/env.ts';
import { directoryOf, Disk, namesIn, type DiskOp, type SimFile } from './disk.ts';

export interface Fault {
  readonly action: 'read' | 'write' | 'datasync' | 'open' | 'truncate' | 'rename' | 'unlink' | 'syncdir';
  readonly path: RegExp;
  readonly code: string;
  /** How often it strikes; Infinity for ever. */
  times: number;
  /** Bytes that a failing write leaves behind. */
  readonly partial?: number;
  /** After the failing sync the pages count as clean. */
  readonly marksClean?: boolean;
}

/** What a power cut leaves of the changes that were not synced. */
export interface PowerCut {
  /** The bytes of a file. */
  keep(path: string, current: Buffer, durable: Buffer): Buffer;
  /** Whether a creation or removal took place whose directory was not synced; none does by default. */
  keepName?(path: string): boolean;
}

const RESERVE_SIZE = 16 << 20;
const reserve = Buffer.alloc(RESERVE_SIZE);
/** Space is given out in pages. */
const PAGE_SIZE = 4_096;

export class SimFs implements Fs {
  readonly disk: Disk;
  faults: Fault[] = [];
  boot = 'boot-1';
  /** What `freeBytes` says while the capacity has no end. */
  free = 1e12;
  /** Bytes that files may take together. */
  capacity = Infinity;
  /** As a device that was mounted so, or the directory of another user. */
  isReadOnly = false;
  writes = 0;
  syncs = 0;
  opens = 0;
  /** Planted faults that struck, and writes that a full disk cut short. */
  failures = 0;
  /** All ops since `record`. */
  trace: DiskOp[] | null = null;
  /** Called after each change of bytes, names or what is durable: a place where a crash may come. */
  onChange: () => void = () => undefined;
  /** Waited for before a read, write or sync begins: holds back one of them while others go on. */
  gate: (action: Fault['action'], path: string) => Promise<void> = () => Promise.resolve();
  /** What a write or sync takes: a turn of the event loop, so that others come in between. */
  pace: () => Promise<void> = () => new Promise((resolve) => setImmediate(resolve));
  /** Opened and not closed yet, by path. */
  readonly openPaths = new Map<string, number>();
  #isOver = false;
  readonly #locks = new Set<string>();
  readonly #directories = new Set<string>();

  constructor(disk = new Disk()) {
    this.disk = disk;
  }

  get files(): Map<string, SimFile> {
    return this.disk.files;
  }

  /** A disk whose data directory has its reserve already, so that a start does not spend its time on making one. */
  static withReserve(directory: string): SimFs {
    const fs = new SimFs();
    const file: SimFile = { current: reserve, durable: reserve, sharesCurrent: true, sharesDurable: true };
    fs.disk.files.set(`${directory}/reserve`, file);
    fs.disk.durableNames.set(`${directory}/reserve`, file);
    return fs;
  }

  /** Keeps every op from now on in `trace`; returns the disk as it is, to apply them to. */
  record(): Disk {
    this.trace = [];
    return this.disk.fork();
  }

  /** The process is gone: nothing that it asks of the disk from now on is done or answered. */
  end(): void {
    this.#isOver = true;
  }

  #turn(): Promise<void> {
    return this.#isOver ? new Promise(() => undefined) : Promise.resolve();
  }

  #do(op: DiskOp): void {
    if (this.isReadOnly) throw new FsError('EROFS', op.path, op.kind);
    this.disk.apply(op);
    this.trace?.push(op);
    this.onChange();
  }

  #strike(action: Fault['action'], path: string): Fault | undefined {
    const fault = this.faults.find((one) => one.action === action && one.times > 0 && one.path.test(path));
    if (fault === undefined) return undefined;
    fault.times--;
    this.failures++;
    return fault;
  }

  #check(action: Fault['action'], path: string): void {
    const fault = this.#strike(action, path);
    if (fault !== undefined) throw new FsError(fault.code, path, action);
  }

  async open(path: string, { create = false, readOnly = false }: OpenOptions = {}): Promise<File> {
    await this.#turn();
    this.#check('open', path);
    if (this.isReadOnly && !readOnly) throw new FsError('EROFS', path, 'open');
    if (!this.files.has(path)) {
      if (!create || readOnly) throw new FsError('ENOENT', path, 'open');
      this.#do({ kind: 'create', path, file: this.disk.idNext });
    }
    const file = this.#handle(path, this.files.get(path)!);
    return readOnly ? withoutWriting(file) : file;
  }

  #handle(path: string, inode: SimFile): File {
    const file = this.disk.idOf(inode);
    let isOpen = true;
    this.opens++;
    this.openPaths.set(path, (this.openPaths.get(path) ?? 0) + 1);
    const own = (action: string): SimFile => {
      if (!isOpen) throw new FsError('EBADF', path, action);
      return inode;
    };
    return {
      path,
      pread: async (into, position) => {
        await this.gate('read', path);
        if (this.#isOver) await this.#turn();
        this.#check('read', path);
        const bytes = own('read').current.subarray(position, position + into.length);
        into.set(bytes);
        return bytes.length;
      },
      pwrite: async (bytes, position) => {
        const begun = this.disk.opCount;
        await this.gate('write', path);
        await this.pace();
        if (this.#isOver) await this.#turn();
        this.writes++;
        const { taken, code } = this.#room(path, own('write'), bytes.length, position);
        const kept = Buffer.from(bytes.subarray(0, taken));
        this.#do({ kind: 'write', path, file, position, bytes: kept, begun });
        if (code !== null) throw new FsError(code, path, 'write');
      },
      datasync: async () => {
        const before = this.disk.opCount;
        own('datasync');
        await this.gate('datasync', path);
        await this.pace();
        if (this.#isOver) await this.#turn();
        this.syncs++;
        const fault = this.#strike('datasync', path);
        if (fault === undefined) return this.#do({ kind: 'sync', path, file, before });
        if (fault.marksClean === true) this.#do({ kind: 'lose', path, file, before });
        throw new FsError(fault.code, path, 'datasync');
      },
      truncate: async (size) => {
        await this.#turn();
        this.#check('truncate', path);
        own('truncate');
        this.#do({ kind: 'truncate', path, file, size });
      },
      size: async () => Promise.resolve(own('size').current.length),
      close: async () => {
        await this.#turn();
        own('close');
        isOpen = false;
        const left = this.openPaths.get(path)! - 1;
        if (left === 0) this.openPaths.delete(path);
        else this.openPaths.set(path, left);
      },
    };
  }

  /** How many bytes of a write are taken, and the error that the rest brings. */
  #room(path: string, file: SimFile, size: number, position: number): { taken: number; code: string | null } {
    const fault = this.#strike('write', path);
    if (fault !== undefined) return { taken: Math.min(size, fault.partial ?? 0), code: fault.code };
    if (this.capacity === Infinity) return { taken: size, code: null };
    const end = paged(file.current.length) + Math.max(0, this.capacity - this.usedSize);
    const taken = Math.min(size, Math.max(0, end - position));
    if (taken < size) this.failures++;
    return { taken, code: taken < size ? 'ENOSPC' : null };
  }

  /** Bytes that files take together. */
  get usedSize(): number {
    let used = 0;
    for (const { current } of new Set(this.files.values())) used += paged(current.length);
    return used;
  }

  async list(directory: string): Promise<string[]> {
    return Promise.resolve(namesIn(this.files, directory).map((path) => path.slice(directory.length + 1)));
  }

  async makeDirectory(directory: string): Promise<void> {
    await this.#turn();
    const above = directoryOf(directory);
    if (above === '') return;
    const isThere = this.#directories.has(directory) || [...this.files.keys()].some((path) => isBelow(path, directory));
    if (!isThere) {
      await this.makeDirectory(above);
      this.#directories.add(directory);
      this.#do({ kind: 'mkdir', path: directory });
    }
    await this.syncDirectory(above);
  }

  async unlink(path: string): Promise<void> {
    await this.#turn();
    this.#check('unlink', path);
    if (!this.files.has(path)) throw new FsError('ENOENT', path, 'unlink');
    this.#do({ kind: 'unlink', path });
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#turn();
    this.#check('rename', from);
    if (!this.files.has(from)) throw new FsError('ENOENT', from, 'rename');
    this.disk.idOf(this.files.get(from)!);
    this.#do({ kind: 'rename', path: from, to });
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#turn();
    this.#check('syncdir', directory);
    this.#do({ kind: 'syncdir', path: directory });
  }

  async freeBytes(): Promise<number> {
    return Promise.resolve(this.capacity === Infinity ? this.free : Math.max(0, this.capacity - this.usedSize));
  }

  async lock(directory: string): Promise<{ release(): Promise<void> }> {
    if (this.isReadOnly) throw new FsError('EROFS', directory, 'lock');
    if (this.#locks.has(directory)) throw new FsError('ELOCKED', directory, 'lock');
    this.#locks.add(directory);
    return Promise.resolve({
      release: async () => {
        this.#locks.delete(directory);
        return Promise.resolve();
      },
    });
  }

  bootId(): string {
    return this.boot;
  }

  /** What a new process finds: all that was written, synced or not. */
  afterCrash(): SimFs {
    const next = new SimFs(this.disk.fork());
    next.boot = this.boot;
    // Tests change the bytes in place, which must not reach this disk. The reserve is large and all share it.
    for (const [path, file] of next.files) {
      if (path.endsWith('/reserve')) continue;
      file.current = Buffer.from(file.current);
      file.durable = Buffer.from(file.durable);
    }
    return next;
  }

  /** What a new boot finds: what was synced, and of the rest what `cut` says. */
  afterPowerCut({ keep, keepName = () => false }: PowerCut): SimFs {
    const names = new Map(this.disk.durableNames);
    for (const path of new Set([...this.files.keys(), ...names.keys()])) {
      if (this.files.get(path) === names.get(path) || !keepName(path)) continue;
      const file = this.files.get(path);
      if (file === undefined) names.delete(path);
      else names.set(path, file);
    }
    const lost = this.disk.nameChanges.filter(({ kind, path }) => kind === 'mkdir' && !keepName(path));
    const next = new SimFs();
    next.boot = `${this.boot}+`;
    for (const [path, file] of names) {
      if (lost.some((directory) => isBelow(path, directory.path))) continue;
      const isReserve = path.endsWith('/reserve');
      const bytes = isReserve ? file.current : Buffer.from(keep(path, file.current, file.durable));
      next.files.set(path, {
        current: bytes,
        durable: isReserve ? bytes : Buffer.from(bytes),
        sharesCurrent: isReserve,
        sharesDurable: isReserve,
      });
    }
    for (const [path, file] of next.files) next.disk.durableNames.set(path, file);
    return next;
  }
}

/** As a descriptor that was opened for reading. */
function withoutWriting(file: File): File {
  const refused = (action: string) => () => Promise.reject(new FsError('EBADF', file.path, action));
  return { ...file, pwrite: refused('write'), truncate: refused('truncate') };
}

export function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

function paged(size: number): number {
  return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}
