/**
 * Everything that a node holds in memory and that a restart must bring back, as plain data that can be compared.
 *
 * Left out is what ends with the process by design: deadlines, snapshots, rows and claims of `memory` partitions,
 * grants of claims that acked themselves.
 */
import type { NodeState } from '../../../server/engine/state.ts';
import type { Node } from '../../../server/engine/node.ts';
import { isSaved, type LiveExtent, type Partition } from '../../../server/store/partition.ts';
import { settle } from '../../support/sim_env.ts';
import { dump as dumpQueue } from '../queue/dump.ts';

const ID_END = 2 ** 53;

/** Ends what would end with the process, then says what is left. */
export async function dumpNode(node: Node): Promise<unknown> {
  const { state } = node.parts;
  for (const { claim, partition, volatile } of [...state.grants.all()]) {
    if (volatile) state.grants.end(partition.id, claim);
  }
  await settle();
  const partitions: unknown[] = [];
  for (const partition of [...state.store.partitions()].sort((a, b) => a.id - b.id)) {
    partitions.push(await dumpPartition(state, partition));
  }
  return {
    partitions,
    partitionNext: state.store.partitionNext,
    segments: dumpSegments(state),
    requests: dumpRequests(state),
    grants: await dumpGrants(state),
  };
}

async function dumpPartition(state: NodeState, partition: Partition): Promise<unknown> {
  const { id, settings, lsn, bytes, extents } = partition;
  if (!isSaved(partition)) return { id, settings };
  const sorted = [...extents].sort((a, b) => a.key - b.key);
  return {
    ...{ id, settings, lsn, bytes },
    extents: sorted.map(dumpExtent),
    rows: await dumpRows(partition),
    queue: dumpQueue(state.queue(partition)),
  };
}

function dumpExtent({ key, place, length, blocks, level, batches, refs }: LiveExtent): unknown {
  const living = batches.flatMap((batch) =>
    batch === undefined
      ? []
      : [
          [
            batch.number,
            batch.lsn,
            batch.rows,
            batch.rowsLive,
            batch.pins,
            batch.regions.map((region) => region ?? null),
          ],
        ],
  );
  return { key, segment: place.segment.id, offset: place.offset, length, blocks: [...blocks], level, refs, living };
}

async function dumpRows(partition: Partition): Promise<unknown> {
  const ids = await partition.index.scan({ start: 0, end: ID_END, rowsMax: 100_000 });
  const { starts, batches, ordinals } = await partition.index.lookup(ids);
  return Array.from(ids, (id, i) => [
    id,
    ...Array.from(batches.subarray(starts[i], starts[i + 1]), (batch, entry) => [batch, ordinals[starts[i] + entry]]),
  ]);
}

/** Segments of rows that are saved, as far as their extents go: whether they are active ends with the process. */
function dumpSegments(state: NodeState): unknown {
  const living = [...state.store.segments.all()].filter(({ level, live }) => level !== 'memory' && live > 0);
  return living.sort((a, b) => a.id - b.id).map(({ id, level, live, liveSize }) => ({ id, level, live, liveSize }));
}

function dumpRequests(state: NodeState): unknown {
  return [...state.requests.all()].map(({ requestId, outcome: { commit: _commit, ...outcome } }) => [
    requestId,
    outcome,
  ]);
}

async function dumpGrants(state: NodeState): Promise<unknown> {
  const lasting = [...state.grants.all()].filter(({ volatile, partition }) => !volatile && isSaved(partition));
  lasting.sort((a, b) => a.claim - b.claim);
  return Promise.all(
    lasting.map(async ({ claim, partition, attempts, leaseMs, located }) => {
      const { ids, columns, batches } = await located;
      const cells = columns.map((column) => [
        column.field.name,
        ...Array.from(column.ordinals, (ordinal, row) => [batches[column.batches[row]].number, ordinal]),
      ]);
      return { claim, partition: partition.id, attempts: [...attempts], leaseMs, ids: [...ids], cells };
    }),
  );
}
