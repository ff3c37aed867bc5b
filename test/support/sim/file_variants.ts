/**
 * What a power cut may leave of one file with unsynced changes:
 *
 *   | new | new | old | old |     a prefix of the changes, cut at sectors, and at any byte
 *   | new | 0 0 0 0 0 0 0 0 |     the size without the bytes
 *   | new | garbage   | new |     a sector that was being written
 *   | new | old | new | old |     sectors in any order, overwritten ones too; a truncation that did not happen
 *
 * A disk writes a sector whole: it shows the sector after the first n of the file's changes, for some n of its own, so
 * that what was synced of it stays. Garbage takes all unsynced bytes of a sector, and none that were synced.
 */
import type { FileChange, SimFile } from './disk.ts';

export const SECTOR_SIZE = 512;
/** Above this many unsynced bytes only one prefix of a file is tried: it is the reserve. */
const LARGE_SIZE = 1 << 20;
/** Cuts at any byte, besides those at sectors. */
const ODD_CUTS = 3;
const RANDOM_SUBSETS = 3;

export type Variant = readonly [label: string, bytes: () => Buffer];

/** The part of a change in one sector, or in a few when there are many; a truncation is a part by itself. */
interface Part {
  readonly change: FileChange;
  readonly sector: number;
  readonly from: number;
  readonly to: number;
}

/** Whether the disk has a part. */
type Keeps = (part: Part, index: number) => boolean;

interface Parts {
  readonly all: readonly Part[];
  readonly sectors: readonly number[];
  /** Bytes of all changes together. */
  readonly size: number;
}

export function* variantsOf(file: SimFile, random: () => number, cutsMax: number): Generator<Variant> {
  const pick = (count: number): number => Math.floor(random() * count);
  if (file.current.length - file.durable.length > LARGE_SIZE) {
    const size = file.durable.length + pick(file.current.length - file.durable.length);
    yield [`${size} of ${file.current.length} bytes`, () => file.current.subarray(0, size)];
    return;
  }
  const { all, sectors, size } = partsOf(file.changes!, cutsMax);
  for (let kept = 1; kept < all.length; kept++) {
    yield [`the first ${kept} of ${all.length} parts`, () => built(file, all, (_, index) => index < kept)];
  }
  if (size === 0) return;
  for (let cut = 0; cut < Math.min(ODD_CUTS, size - 1); cut++) {
    const bytes = 1 + pick(size - 1);
    yield [`the first ${bytes} of ${size} bytes`, () => builtUpTo(file, all, bytes)];
  }
  const cut = pick(all.length);
  yield [`the size, and ${cut} parts`, () => built(file, all, (_, index) => index < cut, file.current.length)];
  const spoiled = sectors[pick(sectors.length)];
  yield [`garbage in sector ${spoiled}`, () => withGarbage(file, all, spoiled)];
  if (all.length < 2) return;
  yield [`all but sector ${spoiled}`, () => built(file, all, ({ sector }) => sector !== spoiled)];
  for (let subset = 0; subset < RANDOM_SUBSETS; subset++) {
    const some = new Set(sectors.filter(() => random() < 0.5));
    yield [`${some.size} of ${sectors.length} sectors`, () => built(file, all, ({ sector }) => some.has(sector))];
  }
  const moments = new Map(sectors.map((sector) => [sector, all[pick(all.length)].change.order]));
  const isKept: Keeps = ({ sector, change }) => change.order <= moments.get(sector)!;
  yield ['each sector at a moment of its own', () => built(file, all, isKept)];
}

function partsOf(changes: readonly FileChange[], cutsMax: number): Parts {
  let size = 0;
  for (const change of changes) if ('bytes' in change) size += change.bytes.length;
  const step = Math.max(SECTOR_SIZE, Math.ceil(size / cutsMax / SECTOR_SIZE) * SECTOR_SIZE);
  const all: Part[] = [];
  for (const change of changes) {
    if ('size' in change) {
      all.push({ change, sector: Math.floor(change.size / step), from: 0, to: 0 });
      continue;
    }
    const end = change.position + change.bytes.length;
    for (let at = change.position; at < end;) {
      const sector = Math.floor(at / step);
      const next = Math.min(end, (sector + 1) * step);
      all.push({ change, sector, from: at - change.position, to: next - change.position });
      at = next;
    }
  }
  return { all, sectors: [...new Set(all.map(({ sector }) => sector))], size };
}

/** The file with those parts that the disk has; at least as long as `size`. */
function built(file: SimFile, parts: readonly Part[], keeps: Keeps, size = 0): Buffer {
  const bytes = Buffer.alloc(Math.max(size, file.durable.length, ...ends(parts)));
  bytes.set(file.durable);
  let { length } = file.durable;
  for (const [index, part] of parts.entries()) {
    if (!keeps(part, index)) continue;
    const { change, from, to } = part;
    if ('size' in change) {
      length = change.size;
      bytes.fill(0, length);
    } else {
      bytes.set(change.bytes.subarray(from, to), change.position + from);
      length = Math.max(length, change.position + to);
    }
  }
  return bytes.subarray(0, Math.max(size, length));
}

/** The file with the first `count` bytes of its changes. */
function builtUpTo(file: SimFile, parts: readonly Part[], count: number): Buffer {
  let left = count;
  const cut = parts.flatMap((part) => {
    if (left <= 0) return [];
    const taken = Math.min(left, part.to - part.from);
    left -= taken;
    return [{ ...part, to: part.from + taken }];
  });
  return built(file, cut, () => true);
}

const GARBAGE = Buffer.alloc(1 << 16, 'garbage of a sector that was being written ');

function withGarbage(file: SimFile, parts: readonly Part[], spoiled: number): Buffer {
  const bytes = built(file, parts, () => true);
  for (const { change, sector, from, to } of parts) {
    if (sector !== spoiled || 'size' in change) continue;
    const start = Math.min(bytes.length, change.position + from);
    bytes.set(GARBAGE.subarray(0, Math.min(to - from, bytes.length - start)), start);
  }
  return bytes;
}

function ends(parts: readonly Part[]): number[] {
  return parts.map(({ change, to }) => ('size' in change ? change.size : change.position + to));
}
