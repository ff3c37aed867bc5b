/** Watches: what changed in a partition since an LSN; one that finds nothing waits for the next change. */
import type { Partition } from '../store/partition.ts';
import type { Caller } from './commands.ts';
import type { ChangesFound } from './changes.ts';
import type { Node } from './node.ts';

export interface WatchCommand {
  readonly partition: string;
  /** Null: from now on. */
  readonly afterLsn: number | null;
  readonly waitMs: number;
  readonly changesMax: number;
}

/** Shows only what is as safe as an answer to whoever made the change: see `Journal.settled`. */
export async function watch(node: Node, command: WatchCommand, caller: Caller): Promise<ChangesFound> {
  const partition = node.partition(command.partition);
  const found = await firstChanges(node, partition, command, caller);
  await node.parts.journal.settled(partition.settings.ack);
  return found;
}

function firstChanges(
  node: Node,
  partition: Partition,
  { afterLsn, waitMs, changesMax: max }: WatchCommand,
  caller: Caller,
): Promise<ChangesFound> {
  const now = (): number => node.parts.journal.lsn;
  const first = node.changes.after(partition.id, afterLsn, { now: now(), max });
  if (first.missed || first.changes.length > 0 || waitMs === 0) return Promise.resolve(first);
  const since = first.lsn;
  const latest = (): ChangesFound => node.changes.after(partition.id, since, { now: now(), max });
  return new Promise((resolve, reject) => {
    const parked = {
      attempt: () => {
        const found = latest();
        if (found.changes.length > 0 || found.missed) resolve(found);
        return found.changes.length > 0 || found.missed;
      },
      refuse: reject,
    };
    node.waits.parkWatch(partition, parked, { waitMs, caller, onTimeout: () => resolve(latest()) });
  });
}
