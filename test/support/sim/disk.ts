/**
 * A disk as a power cut sees it: what was synced, and in which order what was not came after it.
 *
 *   name -> file:  current = durable + changes        what a process sees = what was synced + writes and truncations
 *   durable names + name changes = names              the same for creations, removals and renames
 *
 * Every change is a `DiskOp`. A trace of them, applied to a fork of the disk it began at, makes the disk of any moment
 * again, so that crashes can be tried after the run, one op index after the other (see crash_images.ts).
 *
 * Invariants: an op costs what it changes, not the size of the file; memory that two disks share is copied before
 * either of them writes to it.
 */

/** A write or truncation that no sync has covered yet. */
export type FileChange =
  | { readonly order: number; readonly position: number; readonly bytes: Buffer }
  | { readonly order: number; readonly size: number };

/** What a name leads to; a file that was unlinked lives on for those who have it open. */
export interface SimFile {
  current: Buffer;
  durable: Buffer;
  /** Number by which ops name it; given when it is first opened. */
  id?: number;
  /** What `current` has and `durable` has not, oldest first. */
  changes?: FileChange[];
  /** Another disk uses the same memory. */
  sharesCurrent?: boolean;
  sharesDurable?: boolean;
}

export type DiskOp =
  | { readonly kind: 'create'; readonly path: string; readonly file: number }
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly file: number;
      readonly position: number;
      readonly bytes: Buffer;
      /** Ops that had happened when the write began: a killed process may leave a part of it from then on. */
      readonly begun: number;
    }
  | { readonly kind: 'truncate'; readonly path: string; readonly file: number; readonly size: number }
  /** Changes before the op `before` are durable. */
  | { readonly kind: 'sync'; readonly path: string; readonly file: number; readonly before: number }
  /** A sync failed, and the system calls the pages clean that it could not write: no later sync writes them. */
  | { readonly kind: 'lose'; readonly path: string; readonly file: number; readonly before: number }
  | { readonly kind: 'mkdir'; readonly path: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  | { readonly kind: 'syncdir'; readonly path: string };

/** A change of names whose directory was not synced yet. */
export type NameChange =
  | { readonly kind: 'create'; readonly path: string; readonly file: SimFile }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string; readonly file: SimFile }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string };

export class Disk {
  readonly files = new Map<string, SimFile>();
  readonly durableNames = new Map<string, SimFile>();
  nameChanges: NameChange[] = [];
  /** Ops that were applied since the disk came into being. */
  opCount = 0;
  #byId = new Map<number, SimFile>();
  #idNext = 1;

  /** The number of a file, which it gets when it has none. */
  idOf(file: SimFile): number {
    if (file.id !== undefined) return file.id;
    file.id = this.#idNext++;
    this.#byId.set(file.id, file);
    // A test put the file there, with bytes that were not synced.
    if (file.changes === undefined && file.current !== file.durable && !file.current.equals(file.durable)) {
      const whole = { order: -1, position: 0, bytes: Buffer.from(file.current) };
      file.changes = [{ order: -1, size: file.current.length }, whole];
    }
    return file.id;
  }

  /** The id that the next file gets. */
  get idNext(): number {
    return this.#idNext;
  }

  apply(op: DiskOp): void {
    const order = this.opCount++;
    switch (op.kind) {
      case 'create':
        return this.#create(op.path);
      case 'write':
        return this.#write(this.#byId.get(op.file)!, { order, position: op.position, bytes: op.bytes });
      case 'truncate':
        return this.#truncate(this.#byId.get(op.file)!, { order, size: op.size });
      case 'sync':
        return sync(this.#byId.get(op.file)!, op.before);
      case 'lose':
        return lose(this.#byId.get(op.file)!, op.before);
      case 'mkdir':
        this.nameChanges.push(op);
        return;
      case 'unlink':
        this.files.delete(op.path);
        this.nameChanges.push(op);
        return;
      case 'rename':
        return this.#rename(op);
      case 'syncdir':
        return this.#syncDirectory(op.path);
    }
  }

  /** The same disk, to go on by itself; it shares the memory of files until one of the two changes them. */
  fork(): Disk {
    const fork = new Disk();
    const copies = new Map<SimFile, SimFile>();
    const copy = (file: SimFile): SimFile => {
      let made = copies.get(file);
      if (made !== undefined) return made;
      this.idOf(file);
      file.sharesCurrent = file.sharesDurable = true;
      copies.set(file, (made = { ...file, changes: [...(file.changes ?? [])] }));
      fork.#byId.set(made.id!, made);
      return made;
    };
    for (const [path, file] of this.files) fork.files.set(path, copy(file));
    for (const [path, file] of this.durableNames) fork.durableNames.set(path, copy(file));
    fork.nameChanges = this.nameChanges.map((one) => ('file' in one ? { ...one, file: copy(one.file) } : one));
    for (const file of this.#byId.values()) copy(file);
    fork.#idNext = this.#idNext;
    fork.opCount = this.opCount;
    return fork;
  }

  #create(path: string): void {
    const file: SimFile = { current: Buffer.alloc(0), durable: Buffer.alloc(0) };
    this.idOf(file);
    this.files.set(path, file);
    this.nameChanges.push({ kind: 'create', path, file });
  }

  #write(file: SimFile, change: { order: number; position: number; bytes: Buffer }): void {
    file.current = patched(file.current, change.bytes, change.position, file.sharesCurrent);
    file.sharesCurrent = false;
    (file.changes ??= []).push(change);
  }

  #truncate(file: SimFile, change: { order: number; size: number }): void {
    file.current = resized(file.current, change.size);
    file.sharesCurrent = false;
    (file.changes ??= []).push(change);
  }

  #rename({ path, to }: { path: string; to: string }): void {
    const file = this.files.get(path)!;
    this.files.delete(path);
    this.files.set(to, file);
    this.nameChanges.push({ kind: 'rename', path, to, file });
  }

  #syncDirectory(directory: string): void {
    for (const path of namesIn(this.durableNames, directory)) this.durableNames.delete(path);
    for (const path of namesIn(this.files, directory)) this.durableNames.set(path, this.files.get(path)!);
    this.nameChanges = this.nameChanges.filter(({ path }) => directoryOf(path) !== directory);
  }
}

function sync(file: SimFile, before: number): void {
  const changes = file.changes ?? [];
  for (const change of changes) {
    if (change.order >= before) continue;
    if ('size' in change) file.durable = resized(file.durable, change.size);
    else file.durable = patched(file.durable, change.bytes, change.position, file.sharesDurable);
    file.sharesDurable = false;
  }
  file.changes = changes.filter((change) => change.order >= before);
}

function lose(file: SimFile, before: number): void {
  file.changes = (file.changes ?? []).filter((change) => change.order >= before);
}

/** Memory that `patched` made with room for more behind the bytes. */
const roomy = new WeakSet<ArrayBufferLike>();

/** The bytes with others written over them, in place where that is allowed; a gap is zeros. */
function patched(bytes: Buffer, over: Buffer, position: number, isShared = false): Buffer {
  const size = Math.max(bytes.length, position + over.length);
  const fits = size === bytes.length || (roomy.has(bytes.buffer) && size <= bytes.buffer.byteLength);
  let into = bytes;
  if (isShared || !fits) {
    const memory = new ArrayBuffer(Math.max(size, fits || bytes.length === 0 ? size : 2 * bytes.length));
    roomy.add(memory);
    into = Buffer.from(memory, 0, size);
    into.set(bytes);
  } else if (size > bytes.length) {
    into = Buffer.from(bytes.buffer, 0, size).fill(0, bytes.length);
  }
  into.set(over, position);
  return into;
}

export function resized(bytes: Buffer, size: number): Buffer {
  const made = Buffer.alloc(size);
  made.set(bytes.subarray(0, size));
  return made;
}

export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** Files that lie in a directory itself, not below it. */
export function namesIn(files: ReadonlyMap<string, SimFile>, directory: string): string[] {
  return [...files.keys()].filter((path) => directoryOf(path) === directory);
}
