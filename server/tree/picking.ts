/**
 * What to compact next: a pure function of the files of the tree.
 *
 *   |Li|  bytes of level i          C0 = level0Size, Ci = C0 * 10^i
 *   due   |Li| > Ci, or too many runs in level 0
 *   first the level with the highest |Li| / Ci * wi, w0 > w1 > ...; of level i > 0 the oldest file
 *
 *   drop      files that lie in a dropped range go, without a look at them
 *   move      a file that overlaps nothing in the next level goes there as it is
 *   merge     files of a level and those of the next one that they overlap become new files of the next one
 *
 * Level 0 is compacted in rounds: the runs that are there when it begins, from the lowest key to the highest, one piece
 * of the next level after the other. After a piece the files that reach beyond it are trimmed. So each job is small,
 * what is done is done after a crash, and files of the next level come free one after the other. Small flushes, as time
 * brings them, are merged within level 0 until they are worth a pass over the next level.
 */
import { compareKeys, joinRanges, successor, type KeyRange } from './keys.ts';
import {
  filesOfLevel,
  isInside,
  LEVELS_MAX,
  heldOf,
  overlapping,
  overlaps,
  sizeOf,
  type Levels,
  type Run,
} from './levels.ts';
import type { Dropped, SstRecord } from './manifest.ts';

export interface LevelSizes {
  /** C0 in bytes. */
  readonly level0Size: number;
  readonly level0RunsMax: number;
  /** A file that reaches it is finished. */
  readonly fileSize: number;
  /** Files of level 1 in one piece of a round. */
  readonly pieceFilesMax: number;
}

export interface Merging {
  readonly kind: 'merge';
  readonly inputs: readonly SstRecord[];
  /** Holds all of the inputs; of level 0 in a round, all that comes before the next piece. */
  readonly range: KeyRange;
  /** Where the new files go. */
  readonly level: number;
  readonly run: number;
  /** The newest run of the round of level 0 that this piece belongs to. */
  readonly round: number | null;
}

export type Picked =
  | { readonly kind: 'drop'; readonly files: readonly SstRecord[] }
  | { readonly kind: 'move'; readonly files: readonly SstRecord[]; readonly level: number }
  | Merging;

export interface TreeView {
  readonly levels: Levels;
  readonly round: number | null;
  readonly dropped: readonly Dropped[];
  /** Levels that cannot be compacted. */
  readonly blocked?: ReadonlySet<number>;
}

export const LEVEL_RATIO = 10;
const MOVES_MAX = 64;
/** Smaller files are not moved along: level 1 would fill with crumbs. */
const MOVED_SHARE_MIN = 1 / 8;
/** More dropped ranges than this, and files are rewritten only to be rid of them. */
export const DROPPED_RANGES_MAX = 32;

/** Null when nothing is due. */
export function pickCompaction(tree: TreeView, sizes: LevelSizes): Picked | null {
  const { levels, dropped } = tree;
  const gone = allFiles(levels).filter((file) => heldOf(file, dropped).some((range) => isInside(file, range)));
  if (gone.length > 0) return { kind: 'drop', files: gone };
  const level = mostUrgentLevel(tree, sizes);
  if (level === 0) return pickLevel0(tree, sizes);
  if (level !== null) return pickDeeper(levels, level);
  return dropped.length > DROPPED_RANGES_MAX ? rewriteOldest(tree) : null;
}

function allFiles({ runs, deeper }: Levels): SstRecord[] {
  return [...runs, ...deeper].flatMap(({ files }) => files);
}

function level0Bytes({ runs }: Levels): number {
  return runs.reduce((sum, { files }) => sum + sizeOf(files), 0);
}

/** |Li| / Ci of each level. */
export function fillOfLevels({ levels, round }: TreeView, { level0Size, level0RunsMax }: LevelSizes): number[] {
  const bySize = level0Bytes(levels) / level0Size;
  const fill0 = Math.max(bySize, levels.runs.length / level0RunsMax, round === null ? 0 : 1 + Number.EPSILON);
  const deeper = levels.deeper.map(({ files }, i) => sizeOf(files) / (level0Size * LEVEL_RATIO ** (i + 1)));
  return [fill0, ...deeper];
}

function mostUrgentLevel(tree: TreeView, sizes: LevelSizes): number | null {
  let best: number | null = null;
  let bestPriority = 0;
  for (const [level, fill] of fillOfLevels(tree, sizes).entries()) {
    const priority = fill * 2 ** -level;
    if (fill <= 1 || level === LEVELS_MAX - 1 || tree.blocked?.has(level) || priority <= bestPriority) continue;
    best = level;
    bestPriority = priority;
  }
  return best;
}

function pickLevel0({ levels, round }: TreeView, sizes: LevelSizes): Picked {
  if (round === null && level0Bytes(levels) <= sizes.level0Size / 2) return joinRuns(levels.runs, sizes);
  return pickPiece(levels, round ?? levels.runs[0].number, sizes);
}

/** The newest runs become one: as many as must be, and on, while the next is no larger than those before it. */
function joinRuns(runs: readonly Run[], { level0RunsMax }: LevelSizes): Merging {
  const least = runs.length - Math.floor(level0RunsMax / 2);
  let count = 0;
  let size = 0;
  while (count < runs.length && (count < Math.max(2, least) || sizeOf(runs[count].files) <= size)) {
    size += sizeOf(runs[count++].files);
  }
  const inputs = runs.slice(0, count).flatMap(({ files }) => files);
  return { kind: 'merge', inputs, range: hull(inputs), level: 0, run: runs[0].number, round: null };
}

/** The next piece of a round, which takes all runs up to `newest`. */
function pickPiece(levels: Levels, newest: number, sizes: LevelSizes): Picked {
  const files = levels.runs.filter(({ number }) => number <= newest).flatMap((run) => run.files);
  files.sort((a, b) => compareKeys(a.first, b.first));
  const level1 = filesOfLevel(levels, 1);
  const moved = movable(files, level1, sizes.fileSize * MOVED_SHARE_MIN);
  if (moved.length > 0) return { kind: 'move', files: moved, level: 1 };
  const { start } = hull(files);
  const below = overlapping(level1, { start, end: null });
  const end = below.length > sizes.pieceFilesMax ? below[sizes.pieceFilesMax].first : null;
  const piece = { start, end };
  const inputs = [...files.filter((file) => overlaps(file, piece)), ...overlapping(level1, piece)];
  if (inputs.length === 1 && !inputs[0].trimmed) return { kind: 'move', files: inputs, level: 1 };
  return { kind: 'merge', inputs, range: { start: hull(inputs).start, end }, level: 1, run: 0, round: newest };
}

/** The files at the low end that overlap none of the others and nothing of the level below. */
function movable(files: readonly SstRecord[], below: readonly SstRecord[], sizeMin: number): SstRecord[] {
  let count = 0;
  for (; count < Math.min(files.length, MOVES_MAX); count++) {
    const file = files[count];
    const next = files[count + 1];
    if (file.trimmed || file.size < sizeMin) break;
    if (next !== undefined && compareKeys(next.first, file.last) <= 0) break;
    if (overlapping(below, hull([file])).length > 0) break;
  }
  return files.slice(0, count);
}

function pickDeeper(levels: Levels, level: number): Picked {
  const oldest = filesOfLevel(levels, level).reduce((a, b) => (b.number < a.number ? b : a));
  const below = overlapping(filesOfLevel(levels, level + 1), hull([oldest]));
  if (below.length === 0) return { kind: 'move', files: [oldest], level: level + 1 };
  const inputs = [oldest, ...below];
  return { kind: 'merge', inputs, range: hull(inputs), level: level + 1, run: 0, round: null };
}

function rewriteOldest({ levels, dropped, blocked }: TreeView): Merging | null {
  const touched = allFiles(levels).filter(
    (file) => !file.trimmed && !blocked?.has(file.level) && heldOf(file, dropped).length > 0,
  );
  if (touched.length === 0) return null;
  const oldest = touched.reduce((a, b) => (b.number < a.number ? b : a));
  const { level, run } = oldest;
  return { kind: 'merge', inputs: [oldest], range: hull([oldest]), level, run, round: null };
}

/** The range from the lowest to the highest key of files. */
export function hull(files: readonly SstRecord[]): KeyRange {
  const ranges = joinRanges(files.map(({ first, last }) => ({ start: first, end: successor(last) })));
  return { start: ranges[0].start, end: ranges[ranges.length - 1].end };
}

/** Whether nothing that is older than the inputs overlaps the range: deletions in it need not be kept. */
export function isBottom({ runs, deeper }: Levels, { inputs, range }: Merging): boolean {
  const numbers = new Set(inputs.map(({ number }) => number));
  const ages = [...runs, ...deeper];
  const oldest = ages.findLastIndex(({ files }) => files.some(({ number }) => numbers.has(number)));
  return !ages.slice(oldest + 1).some(({ files }) => overlapping(files, range).length > 0);
}
