/**
 * What a crash may leave of a disk at one moment: every outcome is a disk of its own to start from.
 *
 *   kill    all that was written; of a write in flight, any part
 *   power   of each file what was synced, and of the rest one of file_variants.ts, files independent of each other;
 *           each creation, removal and rename kept or undone
 *
 * Invariants: an image shares memory with the disk and costs what it changes; the same chance makes the same images.
 */
import { createHash } from 'node:crypto';
import { Disk, type DiskOp, type SimFile } from './disk.ts';
import { SECTOR_SIZE, variantsOf, type Variant } from './file_variants.ts';
import { isBelow, SimFs } from './fs.ts';

const RANDOM_MIXES = 6;

export interface CrashImage {
  readonly kind: 'kill' | 'power';
  /** What was kept, for people. */
  readonly label: string;
  make(): SimFs;
}

export interface Moment {
  readonly disk: Disk;
  readonly boot: string;
  /** Writes that had begun and were not done. */
  readonly flying: readonly Extract<DiskOp, { kind: 'write' }>[];
  readonly random: () => number;
  /** Cuts at sectors that are tried of each file. */
  readonly cutsMax: number;
}

type Content = (file: SimFile) => Buffer;
type KeepsName = (index: number) => boolean;

/** All outcomes of a crash at this moment. They are made one by one, while the disk stands still. */
export function crashImages(moment: Moment): CrashImage[] {
  return [...kills(moment), ...powerCuts(moment)];
}

function kills(moment: Moment): CrashImage[] {
  const { disk, boot, flying, random } = moment;
  const kill = (label: string, torn?: DiskOp): CrashImage => ({
    kind: 'kill',
    label,
    make: () => {
      const fs = new SimFs(disk.fork());
      fs.boot = boot;
      if (torn !== undefined) fs.disk.apply(torn);
      return fs;
    },
  });
  const images = [kill('kill')];
  for (const op of flying) {
    for (const size of new Set([SECTOR_SIZE, Math.floor(random() * op.bytes.length)])) {
      if (size === 0 || size >= op.bytes.length) continue;
      const label = `kill, ${size} of ${op.bytes.length} bytes at ${op.position} of ${op.path}`;
      images.push(kill(label, { ...op, bytes: op.bytes.subarray(0, size) }));
    }
  }
  return images;
}

function powerCuts(moment: Moment): CrashImage[] {
  const { disk, boot, random, cutsMax } = moment;
  const power = (label: string, content: Content, keepsName: KeepsName): CrashImage => ({
    kind: 'power',
    label,
    make: () => imageOf(disk, boot, content, keepsName),
  });
  const images = [power('synced only', durable, none), power('all', current, all)];
  const dirty = dirtyFiles(disk);
  if (dirty.size > 0) images.push(power('names only', durable, all));
  if (disk.nameChanges.length > 0) images.push(power('bytes only', current, none));
  for (const [file, path] of dirty) {
    const variants = [...variantsOf(file, random, cutsMax)];
    for (const [label, bytes] of variants) {
      const [rest, names] = random() < 0.5 ? ([current, all] as const) : ([durable, all] as const);
      const others = rest === current ? 'others whole' : 'others synced';
      const content: Content = (one) => (one === file ? bytes() : rest(one));
      images.push(power(`${path}: ${label}, ${others}`, content, names));
    }
  }
  for (const [index, change] of disk.nameChanges.entries()) {
    const what = `${change.kind} ${change.path}`;
    images.push(power(`undone: ${what}`, current, (one) => one !== index));
    images.push(power(`nothing but: ${what}`, durable, (one) => one === index));
  }
  if (dirty.size + disk.nameChanges.length < 2) return images;
  for (let mix = 0; mix < RANDOM_MIXES; mix++) images.push(power(...mixed(moment, dirty)));
  return images;
}

/** Every file and name by chance. */
function mixed(moment: Moment, dirty: ReadonlyMap<SimFile, string>): [string, Content, KeepsName] {
  const { disk, random, cutsMax } = moment;
  const chosen = new Map<SimFile, () => Buffer>();
  const labels: string[] = [];
  for (const [file, path] of dirty) {
    const variants: Variant[] = [
      ['synced', () => file.durable],
      ['whole', () => file.current],
    ];
    variants.push(...variantsOf(file, random, cutsMax));
    const [label, bytes] = variants[Math.floor(random() * variants.length)];
    chosen.set(file, bytes);
    labels.push(`${path}: ${label}`);
  }
  const names = disk.nameChanges.map(() => random() < 0.5);
  for (const [index, { kind, path }] of disk.nameChanges.entries()) {
    if (!names[index]) labels.push(`undone: ${kind} ${path}`);
  }
  return [labels.join('; '), (file) => chosen.get(file)?.() ?? file.current, (index) => names[index]];
}

const durable: Content = (file) => file.durable;
const current: Content = (file) => file.current;
const all: KeepsName = () => true;
const none: KeepsName = () => false;

/** Files with unsynced bytes that a name leads to, or led to when the directory was synced. */
function dirtyFiles(disk: Disk): Map<SimFile, string> {
  const dirty = new Map<SimFile, string>();
  for (const [path, file] of [...disk.durableNames, ...disk.files]) {
    if ((file.changes?.length ?? 0) > 0) dirty.set(file, path);
  }
  return dirty;
}

function imageOf(disk: Disk, boot: string, content: Content, keepsName: KeepsName): SimFs {
  const image = new Disk();
  const lost: string[] = [];
  const names = new Map(disk.durableNames);
  for (const [index, change] of disk.nameChanges.entries()) {
    if (!keepsName(index)) {
      if (change.kind === 'mkdir') lost.push(change.path);
      continue;
    }
    if (change.kind === 'create') names.set(change.path, change.file);
    if (change.kind === 'rename') names.set(change.to, change.file);
    if (change.kind === 'rename' || change.kind === 'unlink') names.delete(change.path);
  }
  for (const [path, file] of names) {
    if (lost.some((directory) => isBelow(path, directory))) continue;
    const bytes = content(file);
    file.sharesCurrent = file.sharesDurable = true;
    const made: SimFile = { current: bytes, durable: bytes, sharesCurrent: true, sharesDurable: true };
    image.files.set(path, made);
    image.durableNames.set(path, made);
  }
  const fs = new SimFs(image);
  fs.boot = `${boot}+`;
  return fs;
}

const hashes = new WeakMap<Buffer, string>();

/** Equal for disks from which a start finds the same: names, bytes and boot. */
export function signature({ files, boot }: SimFs): string {
  const parts = [boot];
  for (const path of [...files.keys()].sort()) {
    const file = files.get(path)!;
    // Large, and nobody reads what is in it.
    parts.push(path, path.endsWith('/reserve') ? String(file.current.length) : hashOf(file));
  }
  return parts.join(' ');
}

/** Bytes that disks share never change, so that each is hashed once. */
function hashOf({ current, sharesCurrent = false }: SimFile): string {
  const known = sharesCurrent ? hashes.get(current) : undefined;
  if (known !== undefined) return known;
  const hash = createHash('sha1').update(current).digest('base64');
  if (sharesCurrent) hashes.set(current, hash);
  return hash;
}
