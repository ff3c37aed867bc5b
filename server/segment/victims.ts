/**
 * Which segment is emptied next, so that the disk holds little more than what lives.
 *
 *   file    | live | dead ...... | live | dead .... |        emptiest first: least to copy, most to gain
 *
 * Files may take `USE_MAX` times what lives, and `SLACK_SIZE` more. That bound can always be reached: while the whole
 * is above it, some segment is emptier than the bound says.
 */
import type { DiskUse, Segment } from './segment.ts';

/** Below the promise of 1.3, since extents themselves may hold a few dead rows (see survey.ts). */
export const USE_MAX = 1.15;
/** Dead bytes that nobody minds, so that a small store is left in peace. */
export const SLACK_SIZE = 512 << 10;
/** A segment with a smaller part of dead bytes is worth no copy. */
const DEAD_PART_MIN = 1 / 8;

/** Whether files of segments take more than they should. */
export function isOverUse({ size, liveSize }: DiskUse): boolean {
  return size > USE_MAX * liveSize + SLACK_SIZE;
}

/** The sealed segment with the smallest part of live bytes, or null when none is worth it. */
export function emptiest(segments: Iterable<Segment>, isLeftOut: (segment: Segment) => boolean): Segment | null {
  let best: Segment | null = null;
  let bestPart = 1 - DEAD_PART_MIN;
  for (const segment of segments) {
    if (!segment.sealed || segment.filling > 0 || segment.level === 'memory' || segment.live === 0) continue;
    const livePart = segment.liveSize / segment.fileSize;
    if (livePart > bestPart || isLeftOut(segment)) continue;
    [best, bestPart] = [segment, livePart];
  }
  return best;
}
