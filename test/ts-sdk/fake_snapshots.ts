/** The snapshots of the fake server: copies of its partitions, by token. */
import type { FakePartition } from './fake_store.ts';

interface Held {
  readonly lsn: number;
  readonly partitions: ReadonlyMap<string, FakePartition>;
}

export class FakeSnapshots {
  readonly held = new Map<string, Held>();
  /** Of all openings and renewals. */
  readonly leasesMs: number[] = [];
  #count = 0;

  open(lsn: number, partitions: ReadonlyMap<string, FakePartition>, leaseMs: number): object {
    const copies = [...partitions].map(([name, partition]) => [name, copyOf(partition)] as const);
    const snapshot = `1-${++this.#count}`;
    this.held.set(snapshot, { lsn, partitions: new Map(copies) });
    this.leasesMs.push(leaseMs);
    return { snapshot, lsn, lease_ms: leaseMs };
  }

  /** Undefined when there is no such snapshot. */
  renew(snapshot: string, leaseMs: number): object | undefined {
    const held = this.held.get(snapshot);
    if (held === undefined) return undefined;
    this.leasesMs.push(leaseMs);
    return { lsn: held.lsn, lease_ms: leaseMs };
  }

  close(snapshot: string): object | undefined {
    const held = this.held.get(snapshot);
    this.held.delete(snapshot);
    return held === undefined ? undefined : { lsn: held.lsn };
  }

  /** A partition as it was; undefined when no snapshot holds that. */
  at(name: string, lsn: number): FakePartition | undefined {
    return [...this.held.values()].find((held) => held.lsn === lsn)?.partitions.get(name);
  }
}

function copyOf(partition: FakePartition): FakePartition {
  const rows = [...partition.rows].map(([id, cells]) => [id, new Map(cells)] as const);
  return { ...partition, fields: { ...partition.fields }, rows: new Map(rows) };
}
