/**
 * Partitions of loads that are not committed: their names are none that a caller could declare.
 *
 *   ~1-7-0   partition 0 of load 7 of run 1, until an adoption gives it the name that it is for
 *
 * Invariants: nobody sees such a partition but who puts rows to it; none outlives the process that made it.
 */
import type { AdoptEvent, DropEvent } from '../journal/events.ts';
import type { Partition } from '../store/partition.ts';
import { isBlobs } from './blob_partitions.ts';
import type { NodeState } from './state.ts';

/** What is needed of a node. */
interface NodeWithState {
  readonly parts: { readonly state: NodeState };
}

interface DroppingNode extends NodeWithState {
  commit(event: DropEvent, level: 'os'): { readonly commit: Promise<unknown> };
}

const MARK = '~';

export function stagingName(load: string, place: number): string {
  return `${MARK}${load}-${place}`;
}

export function isStaging({ settings }: Partition): boolean {
  return settings.name.startsWith(MARK);
}

/** The partitions that callers see. */
export function visiblePartitions(node: NodeWithState): Partition[] {
  return [...node.parts.state.store.partitions()].filter((partition) => !isStaging(partition) && !isBlobs(partition));
}

/** What an adoption drops, as events of its own for those who wait for the partitions that were there. */
export function dropsOf({ pairs }: AdoptEvent): DropEvent[] {
  return pairs.flatMap(({ replaced }) => (replaced === 0 ? [] : [{ type: 'drop', partition: replaced } as const]));
}

/** Removes what loads of earlier runs left. */
export async function removeStaged(node: DroppingNode): Promise<void> {
  const left = [...node.parts.state.store.partitions()].filter(isStaging);
  await Promise.all(left.map(({ id }) => node.commit({ type: 'drop', partition: id }, 'os').commit));
}
