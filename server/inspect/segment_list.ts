/** The segments of a directory: how full they are, and whose puts live in them. */
import { segmentNumber } from '../segment/files.ts';
import type { FoundFile } from './directory.ts';
import type { Started } from './start.ts';

export interface SegmentSummary {
  readonly segment: number;
  /** null when the file is missing. */
  readonly size: number | null;
  readonly extents: number;
  readonly liveBytes: number;
  /** Where its last live extent ends. */
  readonly end: number;
  readonly levels: readonly string[];
  readonly partitions: readonly string[];
}

/** By number; also files without a live put. */
export function listSegments({ node }: Started, files: readonly FoundFile[]): SegmentSummary[] {
  const sizes = new Map<number, number>();
  for (const { path, kind, size } of files) {
    if (kind === 'segment') sizes.set(segmentNumber(path.split('/')[1])!, size);
  }
  const live = Map.groupBy(node.parts.state.store.extents(), ({ place }) => place.segment.id);
  const numbers = [...new Set([...sizes.keys(), ...live.keys()])].sort((a, b) => a - b);
  return numbers.map((segment) => {
    const extents = live.get(segment) ?? [];
    return {
      segment,
      size: sizes.get(segment) ?? null,
      extents: extents.length,
      liveBytes: extents.reduce((sum, { length }) => sum + length, 0),
      end: extents.reduce((end, { place, length }) => Math.max(end, place.offset + length), 0),
      levels: [...new Set(extents.map(({ level }) => level))],
      partitions: [...new Set(extents.map(({ partition }) => partition.settings.name))],
    };
  });
}
