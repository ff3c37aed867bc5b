/**
 * Rows that the server deletes by itself: a batch of them, chosen in the turn in which they go.
 *
 *   choose -> are they in memory? is there room in the journal? -- no: wait, choose again
 *                                                               `- yes: delete event, in the same turn
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Env } from '../env/env.ts';
import type { DeleteEvent } from '../journal/events.ts';
import type { Partition } from '../store/partition.ts';
import type { NodeState } from './state.ts';

/** What is needed of a node. */
export interface RemovingNode {
  readonly parts: { readonly env: Env; readonly state: NodeState };
  readonly checkpoints: { admit(): Promise<void> };
  journalRoom(level: AckLevel): Promise<void> | null;
  commit(event: DeleteEvent, level: AckLevel): { readonly rows: number; readonly commit: Promise<unknown> };
}

/** Rows of one event, and of one turn. */
export const REMOVAL_ROWS_MAX = 1_024;

/**
 * Deletes what `choose` says, at most `REMOVAL_ROWS_MAX` rows, and resolves to their number when that is committed.
 * Rejects with `disk_full` while checkpoints wait for space.
 */
export async function removeRows(
  node: RemovingNode,
  partition: Partition,
  removal: { readonly reason: DeleteEvent['reason']; choose(rowsMax: number): Float64Array },
): Promise<number> {
  const { state } = node.parts;
  const level = partition.settings.ack;
  await node.checkpoints.admit();
  for (;;) {
    const ids = partition.dropped ? NONE : removal.choose(REMOVAL_ROWS_MAX);
    if (ids.length === 0) return 0;
    const far = state.unready(partition, [{ ids }]);
    const wait = far === null ? node.journalRoom(level) : partition.index.load(far);
    if (wait === null) return commitRemoval(node, partition, { ids, reason: removal.reason });
    await wait;
  }
}

const NONE = new Float64Array(0);

async function commitRemoval(
  node: RemovingNode,
  partition: Partition,
  removed: Pick<DeleteEvent, 'ids' | 'reason'>,
): Promise<number> {
  const event = { type: 'delete', partition: partition.id, requestId: '', ...removed } as const;
  const { rows, commit } = node.commit(event, partition.settings.ack);
  await commit;
  return rows;
}
