/**
 * Planted bugs that the exploration must find: if it does not, it proves nothing. Each is planted from outside, into
 * the disk that the node sees or into a part of the node, so that the product has no switches for them.
 */
import { Merge } from '@transfer-queue/core/lsm';
import { vi } from 'vitest';
import type { File } from '../../server/env/env.ts';
import { Journal } from '../../server/journal/journal.ts';
import { FILE_HEADER_SIZE, recordSize } from '../../server/journal/format.ts';
import { RecordHashes } from '../../server/journal/record_hashes.ts';
import { Segments } from '../../server/segment/segments.ts';
import { Store } from '../../server/store/store.ts';
import { core } from '../support/node.ts';
import type { SimEnv, SimFs } from '../support/sim_env.ts';
import type { ExploreOptions } from './explore.ts';

export interface Mutation {
  readonly bug: string;
  /** Plants it into the parts that all nodes share. */
  readonly plant?: () => void;
  /** Plants it into the world of one node. */
  readonly plantIn?: (env: SimEnv) => void;
  /** What the exploration needs to meet it sooner. */
  readonly options?: Partial<ExploreOptions>;
}

/** Gives the files that a node opens other ways. */
function patchFiles(fs: SimFs, patch: (file: File) => Partial<File>): void {
  const open = fs.open.bind(fs);
  fs.open = async (path, options) => {
    const file = await open(path, options);
    return { ...file, ...patch(file) };
  };
}

const ignore = (): void => undefined;

/** For what shows late and then for long: longer histories, some of their moments, and few images of each. */
const LONG_LIVES: Partial<ExploreOptions> = { lives: 4, steps: 80, imagesMax: 3, opsStep: 20 };

export const mutations: readonly Mutation[] = [
  {
    bug: 'ack before sync',
    plantIn: ({ fs }) =>
      patchFiles(fs, (file) => ({
        datasync: () => {
          file.datasync().catch(ignore);
          return Promise.resolve();
        },
      })),
  },
  {
    bug: 'no directory sync',
    plantIn: ({ fs }) => (fs.syncDirectory = () => Promise.resolve()),
  },
  {
    bug: 'tail cut above a valid record',
    plantIn: ({ fs }) => {
      const open = fs.open.bind(fs);
      fs.open = (path, options) => {
        if (path.endsWith('.tqj')) spoilRecordBeforeTornTail(fs, path);
        return open(path, options);
      };
    },
  },
  {
    bug: 'short write ignored',
    plantIn: ({ fs }) =>
      patchFiles(fs, (file) => ({ pwrite: (bytes, position) => file.pwrite(bytes, position).catch(ignore) })),
    options: { faults: { write: 1 }, imagesMax: 2 },
  },
  {
    bug: 'refcount off by one',
    plant: () => {
      const { commit } = Segments.prototype;
      vi.spyOn(Segments.prototype, 'commit').mockImplementation(function (this: Segments, reservation, length) {
        commit.call(this, reservation, length);
        if (reservation.segment.live > 1) reservation.segment.live--;
      });
    },
  },
  {
    bug: 'sync retried after failure',
    plantIn: ({ fs }) => patchFiles(fs, (file) => ({ datasync: () => file.datasync().catch(() => file.datasync()) })),
    options: { faults: { sync: 1 }, opsStep: 5 },
  },
  {
    bug: 'tombstone dropped too early',
    plant: () => {
      const { keep } = Merge.prototype;
      vi.spyOn(Merge.prototype, 'keep').mockImplementation(function (this: Merge, what) {
        keep.call(this, { ...what, bottom: true });
      });
    },
    options: LONG_LIVES,
  },
  {
    bug: 'checkpoint before flush: the manifest names files that are not synced',
    plantIn: ({ fs }) =>
      patchFiles(fs, (file) => (file.path.endsWith('.sst') ? { datasync: () => Promise.resolve() } : {})),
  },
  {
    bug: 'journal trimmed before the manifest is durable',
    plantIn: ({ fs }) => {
      const syncDirectory = fs.syncDirectory.bind(fs);
      fs.syncDirectory = (path) => (path.endsWith('/tree') ? Promise.resolve() : syncDirectory(path));
    },
  },
  {
    bug: 'segments recycled before the events that killed their extents are durable',
    plant: () => {
      const { drop } = Segments.prototype;
      vi.spyOn(Segments.prototype, 'drop').mockImplementation(function (this: Segments, extent, lsn) {
        drop.call(this, extent, lsn);
        this.reclaim(Infinity).catch(ignore);
      });
    },
    options: LONG_LIVES,
  },
  {
    bug: 'data of `disk` puts not synced',
    plant: () => void vi.spyOn(Segments.prototype, 'sync').mockResolvedValue(),
  },
  {
    bug: 'the watermark rises without a sync of the data',
    plant: () => void vi.spyOn(Segments.prototype, 'syncLiving').mockResolvedValue(),
  },
  {
    bug: 'bytes above the watermark not checked',
    plant: () => void vi.spyOn(Store.prototype, 'extentsAfter').mockReturnValue([]),
  },
  {
    bug: 'acks not journaled',
    plant: () => {
      const { append } = Journal.prototype;
      vi.spyOn(Journal.prototype, 'append').mockImplementation(function (this: Journal, event, level) {
        return append.call(this, event, event.type === 'ack' ? 'memory' : level);
      });
    },
  },
];

/** The journal's reader stops at the record before the torn one, and the rest is cut. */
function spoilRecordBeforeTornTail(fs: SimFs, path: string): void {
  const file = fs.files.get(path);
  if (file === undefined) return;
  const bytes = file.current;
  let last = -1;
  let at = FILE_HEADER_SIZE;
  const hashes = new RecordHashes(core, bytes);
  while (hashes.isRight(at)) {
    last = at;
    at += recordSize(bytes.readUInt32LE(at + 4));
  }
  if (last === -1 || at >= bytes.length) return;
  file.current = Buffer.from(bytes);
  file.current.fill(0, last, last + 8);
}
