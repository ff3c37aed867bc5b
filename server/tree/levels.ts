/**
 * The files of a tree by level, newest first: what a reader searches, in this order.
 *
 *   level 0   run 7 | a..k | k..z |      each flush is a run: its files do not overlap, but those of other runs do
 *             run 6 | b..y |
 *   level 1   | a..c | d..h | h..t |     one run
 *   level 2   | a..b | ...
 *
 * Invariants: of two versions of a key the newer one lies in an earlier run or level; files of a run are in order of
 * their keys.
 */
import { invariant } from '../errors.ts';
import { compareEnds, compareKeys, type KeyRange } from './keys.ts';
import type { Dropped, SstRecord } from './manifest.ts';

export const LEVELS_MAX = 7;

export interface Run {
  /** 0 for deeper levels. */
  readonly number: number;
  readonly files: readonly SstRecord[];
}

export interface Levels {
  /** Level 0, newest first. */
  readonly runs: readonly Run[];
  /** deeper[0] is level 1. */
  readonly deeper: readonly Run[];
}

export function levelsOf(files: readonly SstRecord[]): Levels {
  const runs = new Map<number, SstRecord[]>();
  const deeper: SstRecord[][] = [];
  for (const file of files) {
    invariant(file.level < LEVELS_MAX, 'a file lies in a level that is there');
    if (file.level > 0) {
      while (deeper.length < file.level) deeper.push([]);
      deeper[file.level - 1].push(file);
    } else {
      const run = runs.get(file.run);
      if (run === undefined) runs.set(file.run, [file]);
      else run.push(file);
    }
  }
  const young = [...runs].sort(([a], [b]) => b - a).map(([number, run]) => ({ number, files: inOrder(run) }));
  return { runs: young, deeper: deeper.map((level) => ({ number: 0, files: inOrder(level) })) };
}

function inOrder(files: SstRecord[]): SstRecord[] {
  files.sort((a, b) => compareKeys(a.first, b.first));
  for (let i = 1; i < files.length; i++) {
    invariant(compareKeys(files[i - 1].last, files[i].first) < 0, 'files of a run do not overlap');
  }
  return files;
}

/** Level 1 and deeper: the files of a level, none where there is no such level. */
export function filesOfLevel({ deeper }: Levels, level: number): readonly SstRecord[] {
  return deeper[level - 1]?.files ?? [];
}

export function overlaps(file: SstRecord, { start, end }: KeyRange): boolean {
  return compareKeys(file.last, start) >= 0 && (end === null || compareKeys(file.first, end) < 0);
}

/** The files of a run that overlap a range: they stand side by side. */
export function overlapping(files: readonly SstRecord[], range: KeyRange): readonly SstRecord[] {
  const from = firstAtOrAbove(files, range.start);
  let to = from;
  while (to < files.length && (range.end === null || compareKeys(files[to].first, range.end) < 0)) to++;
  return files.slice(from, to);
}

/** The index of the first file whose last key is not below `key`. */
function firstAtOrAbove(files: readonly SstRecord[], key: Uint8Array): number {
  let low = 0;
  let high = files.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(files[middle].last, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function isInside(file: SstRecord, { start, end }: KeyRange): boolean {
  return compareKeys(file.first, start) >= 0 && compareEnds(file.last, end) < 0;
}

/** The ranges of a sorted, disjoint list of which a file may hold keys. */
export function heldOf(file: SstRecord, dropped: readonly Dropped[]): readonly Dropped[] {
  let low = 0;
  let high = dropped.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareEnds(dropped[middle].end, file.first) <= 0) low = middle + 1;
    else high = middle;
  }
  let to = low;
  while (to < dropped.length && compareKeys(dropped[to].start, file.last) <= 0) to++;
  return dropped.slice(low, to).filter(({ edit }) => file.cleanEdit < edit);
}

export function sizeOf(files: readonly SstRecord[]): number {
  let size = 0;
  for (const file of files) size += file.size;
  return size;
}

/** Lowest keys of trimmed files: a merge must not cross them, since below them lies what does not count any more. */
export function cutsOf(files: readonly SstRecord[]): Uint8Array[] {
  return files
    .filter(({ trimmed }) => trimmed)
    .map(({ first }) => first)
    .sort(compareKeys);
}
