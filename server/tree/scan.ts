/**
 * Entries of a range in order: a merge of memtables and runs, batch by batch. Each batch begins anew where the last one
 * ended, on the files that are there by then, so that a reader who takes his time holds back nothing but versions.
 *
 *   range  [ . . . . . . . . . . )      pieces between dropped ranges, and on both sides of a trimmed file's new start,
 *          [ piece )  dropped  [ piece | piece )             since below that its blocks hold what counts no longer
 *
 * Invariants: all batches see the versions of one LSN, which a snapshot holds from the turn of the call to the end.
 */
import { Merge, type LsmMemory, type Memtable, type MergedEntry } from '@transfer-queue/core/lsm';
import type { Env } from '../env/env.ts';
import { invariant, StoreError } from '../errors.ts';
import type { Entry } from './api.ts';
import type { BlockCache } from './block_cache.ts';
import type { Frame } from './frames.ts';
import { compareKeys, isEmpty, subtractRanges, successor, type KeyRange } from './keys.ts';
import { ReadAhead, RunCursor } from './run_cursor.ts';
import { LOOKS, Slice } from '../env/slice.ts';
import type { Version } from './version.ts';

/** Versions that one step looks at; it ends with a block, too. */
const STEP_VERSIONS = 1_024;
/** A scan that goes on takes twice as much from batch to batch, up to so many steps: a short one reads little. */
const BATCH_STEPS_MAX = 4 * LOOKS;

/** What a batch reads from; held until `release`. */
export interface View {
  readonly memtables: readonly Memtable[];
  readonly version: Version;
  /** Ranges whose keys count no longer. */
  readonly dropped: readonly KeyRange[];
  release(): void;
}

export interface ScanSource {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly cache: BlockCache;
  view(): View;
}

interface Piece extends KeyRange {
  readonly reverse: boolean;
}

export async function* scan(
  source: ScanSource,
  range: KeyRange & { readonly reverse: boolean },
  lsn: number,
): AsyncGenerator<readonly Entry[]> {
  const readAhead = new ReadAhead();
  const slice = new Slice(source.env.clock);
  const { reverse } = range;
  let left: KeyRange = range;
  let steps = LOOKS;
  while (!isEmpty(left)) {
    if (slice.isOver) await slice.next((steps = Math.min(2 * steps, BATCH_STEPS_MAX)));
    const view = source.view();
    const out: MergedEntry[] = [];
    let next: KeyRange | null;
    try {
      const piece = pieceOf(left, view, reverse);
      if (piece === null) return;
      const isDone = await readBatch(source, view, { piece, lsn, readAhead, slice }, out);
      next = isDone ? without(left, piece) : without(left, spanOf(out, left, reverse));
    } finally {
      view.release();
    }
    if (out.length > 0) yield out;
    left = next;
  }
}

/** The first part of what is left (the last, in reverse) without a dropped range and without a cut in it. */
function pieceOf(left: KeyRange, { version, dropped }: View, reverse: boolean): Piece | null {
  const kept = subtractRanges(left, dropped);
  const range = reverse ? kept.at(-1) : kept[0];
  if (range === undefined) return null;
  const cuts = version.cuts.filter((cut) => isInsideOf(range, cut));
  if (cuts.length === 0) return { ...range, reverse };
  return reverse
    ? { start: cuts[cuts.length - 1], end: range.end, reverse }
    : { start: range.start, end: cuts[0], reverse };
}

function isInsideOf({ start, end }: KeyRange, key: Uint8Array): boolean {
  return compareKeys(key, start) > 0 && (end === null || compareKeys(key, end) < 0);
}

/** The part of what is left that a batch has covered. */
function spanOf(out: readonly MergedEntry[], { start, end }: KeyRange, reverse: boolean): Piece {
  const { key } = out[out.length - 1];
  return reverse ? { start: key, end, reverse } : { start, end: successor(key), reverse };
}

function without(left: KeyRange, { start, end, reverse }: Piece): KeyRange {
  if (reverse) return { start: left.start, end: start };
  return end === null ? { start: left.start, end: left.start } : { start: end, end: left.end };
}

interface Reading {
  readonly piece: Piece;
  readonly lsn: number;
  readonly readAhead: ReadAhead;
  readonly slice: Slice;
}

/** Adds the next entries of a piece, as many as a slice brings; false when there may be more of them. */
async function readBatch(
  { memory, cache }: ScanSource,
  { memtables, version }: View,
  { piece, lsn, readAhead, slice }: Reading,
  out: MergedEntry[],
): Promise<boolean> {
  const { start, end, reverse } = piece;
  const cursors = version.strata.map((stratum) => new RunCursor(cache, stratum, piece, readAhead));
  const options = { tables: memtables, runCount: cursors.length, start, end: end ?? undefined, reverse };
  const merge = new Merge(memory, options);
  try {
    for (const cursor of cursors) await seek(memory, cache, cursor, reverse ? end : start);
    for (;;) {
      const step = merge.read(out, { lsn, budget: STEP_VERSIONS });
      if (step.kind === 'done') return true;
      if (step.kind === 'damaged') {
        throw new StoreError('data_corrupt', { reason: 'a block of the tree is out of order' });
      }
      const isOver = slice.look();
      if (isOver && out.length > 0) return false;
      if (isOver) await slice.next();
      if (step.kind !== 'needs') continue;
      const next = cursors[step.run - memtables.length].next();
      feed(merge, step.run, next instanceof Promise ? await next : next);
    }
  } finally {
    for (const cursor of cursors) cursor.release();
    merge.free();
  }
}

async function seek(memory: LsmMemory, cache: BlockCache, cursor: RunCursor, key: Uint8Array | null): Promise<void> {
  const { table } = cursor;
  if (table === null) return;
  const cached = cache.find(table, table.indexBlock);
  if (cached !== null) return cursor.seek(memory, cached, key);
  const loaded = await cache.load(table, table.indexBlock);
  cursor.seek(memory, loaded, key);
  cache.unpin(loaded);
}

function feed(merge: Merge, run: number, frame: Frame | null): void {
  if (frame === null) merge.finish(run);
  else invariant(merge.feed(run, frame.address, frame.size), 'a block of the cache is sound');
}
