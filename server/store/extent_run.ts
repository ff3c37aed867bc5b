/**
 * Extents of a run of puts that a start replayed, as columns: of most of them nobody asks for a long while, and an
 * object for each takes longer to make than all else that a replay does with it.
 *
 *   run of 3   keys 7 8 9   offsets 0 64 128   lengths ...        make -> LiveExtent 7, LiveExtent 8, LiveExtent 9
 *
 * Invariants: a run is made at most once, as a whole; until then it stands in the table and in the bags of the store
 * for its extents, all of which live, unmoved, with all of their rows, and have no record.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import { HASH_SIZE, type InsertRun } from '../journal/insert_run.ts';
import type { Unmade } from '../segment/bag.ts';
import { aligned, type Segment, type Space } from '../segment/segment.ts';
import type { CellPlaces } from './cell_places.ts';
import { LiveExtent, type Partition } from './partition.ts';

export class ExtentRun implements Unmade {
  readonly count: number;
  readonly partition: Partition;
  readonly segment: Segment;
  readonly keys: Float64Array;
  readonly make: () => void;
  readonly #level: AckLevel;
  readonly #cells: CellPlaces;
  readonly #offsets: Float64Array;
  readonly #lengths: Uint32Array;
  readonly #rows: Uint32Array;
  readonly #hashes: Uint8Array;

  /** `make` puts the extents where the run stands for them. */
  constructor(
    run: InsertRun,
    to: { partition: Partition; segment: Segment; cells: CellPlaces; make: (run: ExtentRun) => void },
  ) {
    const { count } = run;
    this.count = count;
    this.partition = to.partition;
    this.segment = to.segment;
    this.make = () => to.make(this);
    this.#level = run.level;
    this.#cells = to.cells;
    this.keys = run.lsns.slice(0, count);
    this.#offsets = run.offsets.slice(0, count);
    this.#lengths = run.lengths.slice(0, count);
    this.#rows = run.rows.slice(0, count);
    this.#hashes = run.hashes.slice(0, count * HASH_SIZE);
  }

  /** Bytes of the puts. */
  get bytes(): number {
    let bytes = 0;
    for (let at = 0; at < this.count; at++) bytes += this.#lengths[at];
    return bytes;
  }

  *extents(): Generator<LiveExtent, void> {
    const { segment, partition } = this;
    for (let at = 0; at < this.count; at++) {
      const key = this.keys[at];
      const rows = this.#rows[at];
      const extent = new LiveExtent(partition, {
        key,
        place: { segment, offset: this.#offsets[at] },
        length: this.#lengths[at],
        blocks: this.#hashes.subarray(at * HASH_SIZE, (at + 1) * HASH_SIZE),
        level: this.#level,
        batchCount: 1,
      });
      extent.addBatch(0, { lsn: key, rows, rowsLive: rows, cells: this.#cells });
      yield extent;
    }
  }
}

export function spaceOfRun({ count, segment, offsets, lengths }: InsertRun): Space {
  let size = 0;
  let end = 0;
  for (let at = 0; at < count; at++) {
    const taken = aligned(lengths[at]);
    size += taken;
    end = Math.max(end, offsets[at] + taken);
  }
  return { segment, count, size, end };
}
