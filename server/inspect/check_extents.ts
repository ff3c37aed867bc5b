/**
 * Checks the bytes of all puts that live: each extent lies inside its segment, none over another, and each 1 MiB block
 * has the checksum that its writer sent. Segments are read from their beginning to their end.
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { FsError } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { Segment } from '../segment/segment.ts';
import type { Segments } from '../segment/segments.ts';
import type { LiveExtent } from '../store/partition.ts';
import { blockCount, blockSize, isIntact } from '../tier/blocks.ts';
import type { Meter } from './meter.ts';

/** A range of an extent whose bytes are not those that were put. Offsets are relative to the extent. */
export interface Damage {
  readonly extent: LiveExtent;
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

export interface ExtentsCheck {
  readonly damages: readonly Damage[];
  readonly segments: number;
}

/** Resolves when all were read; never rejects for bytes that are wrong or cannot be read. */
export async function checkExtents(
  extents: Iterable<LiveExtent>,
  { segments, core, meter }: { segments: Pick<Segments, 'read'>; core: Core; meter: Meter },
): Promise<ExtentsCheck> {
  const inOrder = [...extents].sort(
    (a, b) => a.place.segment.id - b.place.segment.id || a.place.offset - b.place.offset,
  );
  const damages: Damage[] = [];
  const seen = new Set<Segment>();
  let before: LiveExtent | null = null;
  for (const extent of inOrder) {
    seen.add(extent.place.segment);
    if (before !== null && overlaps(before, extent)) {
      damages.push(wholly(extent, `its place overlaps that of the put with LSN ${before.key}`));
    }
    before = extent;
    for await (const damage of damagedBlocks(extent, { segments, core })) damages.push(damage);
    meter.add(extent.length);
  }
  return { damages, segments: seen.size };
}

function overlaps(before: LiveExtent, after: LiveExtent): boolean {
  return before.place.segment === after.place.segment && before.place.offset + before.length > after.place.offset;
}

function wholly(extent: LiveExtent, what: string): Damage {
  return { extent, from: 0, to: extent.length, what };
}

/** The blocks of an extent that fail, neighbours joined. The next block is read while one is hashed. */
export async function* damagedBlocks(
  extent: LiveExtent,
  { segments, core }: { segments: Pick<Segments, 'read'>; core: Core },
): AsyncGenerator<Damage, void> {
  const count = blockCount(extent);
  if (count === 0) return;
  const buffers = [0, 1].map(() => Buffer.allocUnsafeSlow(blockSize(extent, 0)));
  let open = null as Damage | null;
  let reading = readBlock(extent, 0, buffers[0], segments);
  for (let block = 0; block < count; block++) {
    const { bytes, failure } = await reading;
    if (block + 1 < count) reading = readBlock(extent, block + 1, buffers[(block + 1) % 2], segments);
    const what = failure ?? (isIntact(core, extent, block, bytes) ? null : 'its bytes fail their checksum');
    if (open !== null && open.what !== what) {
      yield open;
      open = null;
    }
    const from = block * CHECKSUM_BLOCK_SIZE;
    if (what !== null) open = { extent, from: open?.from ?? from, to: from + bytes.length, what };
  }
  if (open !== null) yield open;
}

/** Resolves to the bytes, or to why there are none. */
async function readBlock(
  extent: LiveExtent,
  block: number,
  into: Buffer,
  segments: Pick<Segments, 'read'>,
): Promise<{ bytes: Buffer; failure: string | null }> {
  const from = block * CHECKSUM_BLOCK_SIZE;
  const bytes = into.subarray(0, blockSize(extent, block));
  try {
    const count = await segments.read(extent.place.segment, bytes, extent.place.offset + from);
    return { bytes, failure: count === bytes.length ? null : 'the file of its segment ends before it does' };
  } catch (error) {
    if (error instanceof StoreError) return { bytes, failure: 'the file of its segment is missing' };
    if (error instanceof FsError) return { bytes, failure: `its bytes cannot be read: ${error.code}` };
    throw error;
  }
}
