/**
 * How much of the extents that live still matters, by the rows that show them, and which are worth writing anew.
 *
 *   extent   | batch: 10 of 1,000 rows | batch: no row | batch: 990 of 1,000 rows |         matters: 1/100 + 0 + 99/100
 */
import type { LiveExtent } from './partition.ts';

/** An extent may be written anew when less than this part of it matters. */
const PART_MAX = 0.8;
/** Fewer dead bytes than this are not worth an event. */
const DEAD_SIZE_MIN = 4 << 10;
/** Dead bytes inside of extents may be this part of what their rows show, and `SLACK_SIZE` more. */
const DEAD_PART_MAX = 0.08;
const SLACK_SIZE = 512 << 10;
export const SURVEY_PERIOD_MS = 15_000;
/** Extents that a survey remembers: those with least to copy for what they free. */
const WORST_COUNT_MAX = 4_096;

/** Whether so much of an extent is dead that it should be written anew. */
export function isWorn({ length }: { readonly length: number }, deadSize: number): boolean {
  return deadSize >= Math.max(DEAD_SIZE_MIN, (1 - PART_MAX) * length);
}

/** Whether the extents hold more dead bytes than they should. */
export function isWasteful({ liveSize, deadSize }: { readonly liveSize: number; readonly deadSize: number }): boolean {
  return deadSize > DEAD_PART_MAX * liveSize + SLACK_SIZE;
}

export interface Worn {
  readonly extent: LiveExtent;
  readonly deadSize: number;
}

export class Survey {
  size = 0;
  deadSize = 0;
  #worn: Worn[] = [];

  /** Largest part dead first. */
  get worst(): readonly Worn[] {
    this.#cut();
    return this.#worn;
  }

  add(extent: LiveExtent): void {
    if (extent.level === 'memory') return;
    const deadSize = deadSizeOf(extent);
    this.size += extent.length;
    this.deadSize += deadSize;
    if (!isWorn(extent, deadSize)) return;
    this.#worn.push({ extent, deadSize });
    if (this.#worn.length >= 2 * WORST_COUNT_MAX) this.#cut();
  }

  #cut(): void {
    this.#worn.sort((a, b) => b.deadSize / b.extent.length - a.deadSize / a.extent.length);
    this.#worn.length = Math.min(this.#worn.length, WORST_COUNT_MAX);
  }
}

/**
 * Bytes of an extent that no row shows, about: a batch counts by its rows. 0 for an extent that is held by readers or
 * claims, since writing it anew would not free it.
 */
export function deadSizeOf({ batches, length }: LiveExtent): number {
  let liveSize = 0;
  let rowsLive = 0;
  for (const batch of batches) {
    if (batch === undefined) continue;
    if (batch.pins > 0) return 0;
    let size = 0;
    for (const regions of batch.regions) {
      if (regions !== undefined) for (let part = 1; part < regions.length; part += 2) size += regions[part];
    }
    liveSize += (size * batch.rowsLive) / batch.rows;
    rowsLive += batch.rowsLive;
  }
  return rowsLive === 0 ? 0 : Math.max(0, length - liveSize);
}
