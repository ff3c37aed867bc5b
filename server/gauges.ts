/**
 * The gauges of a node: who waits and what was committed, the index, space and its integrity, partitions. All are 0 or
 * empty until the node is open.
 */
import type { Node } from './engine/node.ts';
import { describeBlobs } from './engine/blobs.ts';
import { visiblePartitions } from './engine/staging.ts';
import type { HttpListener } from './http/listener.ts';
import { machine } from './queue/machine.ts';
import type { MetricSources } from './metrics.ts';

type LabelledValues = readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];

type Gauges = MetricSources['gauges'];

/** How gauges read from a node that may not be open yet. */
interface Reading {
  readonly of: (read: (node: Node) => number) => () => number;
  readonly labelled: (read: (node: Node) => LabelledValues) => () => LabelledValues;
}

export function nodeGauges(node: () => Node | null, listener: HttpListener): Gauges {
  const read = <T>(none: T, of: (opened: Node) => T): T => {
    const opened = node();
    return opened === null ? none : of(opened);
  };
  const reading: Reading = {
    of: (value) => () => read(0, value),
    labelled: (values) => () => read([], values),
  };
  return [
    ...serviceGauges(reading, listener),
    ...indexGauges(reading),
    ...spaceGauges(reading),
    ...partitionGauges(reading),
  ];
}

function serviceGauges({ of }: Reading, listener: HttpListener): Gauges {
  return [
    { name: 'tq_ready', help: '1 when recovery is done.', read: of(() => 1) },
    { name: 'tq_connections', help: 'Open connections.', read: () => listener.connectionCount() },
    { name: 'tq_received_bytes', help: 'Bytes received since the start.', read: () => listener.counts.bytesReceived },
    { name: 'tq_sent_bytes', help: 'Bytes sent since the start.', read: () => listener.counts.bytesSent },
    { name: 'tq_waiters', help: 'Claims, reads and watches that wait.', read: of(({ waits }) => waits.count) },
    { name: 'tq_waiting_puts', help: 'Puts that wait for room.', read: of(({ budgets }) => budgets.count) },
    { name: 'tq_lsn', help: 'The LSN given last.', read: of(({ parts }) => parts.journal.lsn) },
    {
      name: 'tq_durable_lsn',
      help: 'Every event up to here survives a power cut.',
      read: of(({ parts }) => parts.journal.durableLsn),
    },
    { name: 'tq_arena_bytes', help: 'Size of the arena.', read: of(({ parts }) => parts.arena.size) },
    {
      name: 'tq_arena_held_bytes',
      help: 'Bytes of the arena that cannot be evicted now.',
      read: of(({ parts }) => parts.arena.heldSize),
    },
    { name: 'tq_block_cache_hits', help: 'Cold blocks that were cached.', read: of(({ parts }) => parts.blocks.hits) },
    {
      name: 'tq_block_cache_misses',
      help: 'Cold blocks that came from disk.',
      read: of(({ parts }) => parts.blocks.misses),
    },
  ];
}

function indexGauges({ of, labelled }: Reading): Gauges {
  const cached = (what: 'hits' | 'misses' | 'size'): (() => LabelledValues) =>
    labelled(({ parts }) =>
      Object.entries(parts.tree.stats.cache).map(([kind, counts]) => ({ labels: { kind }, value: counts[what] })),
    );
  return [
    {
      name: 'tq_checkpoint_lsn',
      help: 'A start replays the journal from here.',
      read: of(({ checkpoints }) => checkpoints.lsn),
    },
    { name: 'tq_snapshots', help: 'Open snapshots.', read: of(({ snapshots }) => snapshots.count) },
    {
      name: 'tq_memtable_bytes',
      help: 'Bytes of the index that are not flushed.',
      read: of(({ parts }) => parts.tree.activeSize + parts.tree.frozenSize),
    },
    {
      name: 'tq_index_bytes',
      help: 'Bytes of the files of the index, by level.',
      labels: ['level'],
      read: labelled((opened) =>
        opened.parts.tree.stats.levels.map(({ size }, level) => ({ labels: { level: String(level) }, value: size })),
      ),
    },
    {
      name: 'tq_index_compacted_bytes',
      help: 'Bytes that compaction of the index wrote since the start.',
      read: of(({ parts }) => parts.tree.stats.compactedSize),
    },
    {
      name: 'tq_index_cache_hits',
      help: 'Blocks of the index that were cached.',
      labels: ['kind'],
      read: cached('hits'),
    },
    {
      name: 'tq_index_cache_misses',
      help: 'Blocks of the index that came from disk.',
      labels: ['kind'],
      read: cached('misses'),
    },
    { name: 'tq_index_cache_bytes', help: 'Cached blocks of the index.', labels: ['kind'], read: cached('size') },
    { name: 'tq_segments', help: 'Segments in use.', read: of(({ parts }) => [...parts.segments.all()].length) },
    {
      name: 'tq_segment_bytes',
      help: 'Bytes that segments take on disk.',
      read: of(({ parts }) => parts.segments.diskUse().size),
    },
  ];
}

function spaceGauges({ of }: Reading): Gauges {
  return [
    {
      name: 'tq_segment_live_bytes',
      help: 'Bytes of extents that live.',
      read: of(({ parts }) => parts.segments.diskUse().liveSize),
    },
    {
      name: 'tq_moved_bytes',
      help: 'Bytes that compaction of segments copied since the start.',
      read: of(({ compaction }) => compaction.movedSize),
    },
    { name: 'tq_scrub_passes', help: 'Passes of the scrub since the start.', read: of(({ scrub }) => scrub.passCount) },
    { name: 'tq_scrubbed_bytes', help: 'Bytes that the scrub read.', read: of(({ scrub }) => scrub.verifiedSize) },
    { name: 'tq_damaged_blocks', help: 'Blocks that are damaged.', read: of(({ parts }) => parts.damage.all().length) },
    {
      name: 'tq_damaged_index_files',
      help: 'Files of the index that are damaged.',
      read: of(({ damagedFiles }) => damagedFiles.size),
    },
    {
      name: 'tq_disk_full',
      help: '1 while puts are refused for want of space.',
      read: of(({ parts }) => (parts.reserve.intact ? 0 : 1)),
    },
  ];
}

function partitionGauges({ labelled }: Reading): Gauges {
  const perPartition = (read: (opened: Node, name: string) => number): (() => LabelledValues) =>
    labelled((opened) =>
      visiblePartitions(opened).map(({ settings: { name } }) => ({
        labels: { partition: name },
        value: read(opened, name),
      })),
    );
  return [
    {
      name: 'tq_partition_rows',
      help: 'Rows of a partition.',
      labels: ['partition'],
      read: perPartition((opened, name) => machine.stats(opened.parts.state.queue(opened.partition(name))).rows),
    },
    {
      name: 'tq_partition_bytes',
      help: 'Bytes that a partition keeps.',
      labels: ['partition'],
      read: perPartition((opened, name) => opened.partition(name).bytes),
    },
    {
      name: 'tq_partition_blobs',
      help: 'Blobs of a partition.',
      labels: ['partition'],
      read: perPartition((opened, name) => describeBlobs(opened, opened.partition(name)).count),
    },
    {
      name: 'tq_partition_blob_bytes',
      help: 'Bytes that the blobs of a partition keep.',
      labels: ['partition'],
      read: perPartition((opened, name) => describeBlobs(opened, opened.partition(name)).bytes),
    },
  ];
}
