/** Looks at a node as its clients would: rows, seals, and what a task is granted. */
import { describe } from '../../server/engine/partitions.ts';
import type { Node } from '../../server/engine/node.ts';
import { read } from '../../server/engine/read.ts';
import { caller, claimOf, putText, valuesOf } from '../support/node.ts';
import type { SimClock } from '../support/sim_env.ts';
import { cellOf, type Note } from './history.ts';
import { CLAIMED_FIELD, type Granted, type Observation, type SeenPartition } from './judge.ts';
import { FIELDS, LEASE_MS, PARTITIONS, TASK } from './workload.ts';

/** Above all ids. */
const ID_END = 1_000;
/** Longer than anyone watches. */
const WATCHER_LEASE_MS = 3_600_000;

export interface Look {
  readonly node: Node;
  readonly clock: SimClock;
  /** Puts that are sent again. */
  readonly retries: readonly Note[];
  /** Whether to let all leases end and claim what is left. */
  readonly drains: boolean;
}

export async function observe(look: Look): Promise<Observation> {
  const { node, clock } = look;
  const cells = await cellsOf(node);
  const retried = new Map<Note, number>();
  for (const note of look.retries) retried.set(note, await retry(node, note));
  const first = new Map<string, Granted>();
  for (const name of partitionsOf(node)) first.set(name, await grant(node, name));
  const drained = look.drains ? await drain(node, clock, first) : null;
  const partitions = new Map<string, SeenPartition>();
  for (const [name, granted] of first) {
    const { sealed } = describe(node, node.partition(name)) as { sealed: boolean };
    partitions.set(name, { sealed, first: granted, drained: drained?.get(name) ?? null });
  }
  return { cells, partitions, retried };
}

function partitionsOf(node: Node): string[] {
  return Object.keys(PARTITIONS).filter((name) => node.parts.state.store.partition(name) !== undefined);
}

export async function cellsOf(node: Node): Promise<Map<string, string>> {
  const cells = new Map<string, string>();
  for (const partition of partitionsOf(node)) {
    for (const field of FIELDS) {
      const select = { by: 'range', start: 0, end: ID_END, rowsMax: ID_END } as const;
      const outcome = await read(node, { partition, select, fields: [field], waitMs: 0 }, caller);
      if (outcome.kind !== 'rows') throw new Error(`the read of a range ended as ${outcome.kind}`);
      const values = await valuesOf(node, outcome.located);
      for (const [place, id] of values.index_id.entries()) {
        cells.set(cellOf(partition, Number(id), field), values[field][place]);
      }
    }
  }
  return cells;
}

async function retry(node: Node, note: Note): Promise<number> {
  const [field] = [...note.cells.keys()].map((cell) => cell.split('/')[2]);
  const values = [...note.cells.values()].map((value) => value!);
  const { lsn } = await putText(node, note.partition, note.ids, field, values, { requestId: note.requestId });
  return lsn;
}

async function grant(node: Node, partition: string): Promise<Granted> {
  const take = { task: TASK, fields: [CLAIMED_FIELD], rowsMax: ID_END, leaseMs: WATCHER_LEASE_MS };
  const outcome = await claimOf(node, partition, take);
  if (outcome.kind !== 'claimed') return { ids: [], values: [] };
  const values = await valuesOf(node, outcome.located);
  return { ids: values.index_id.map(Number), values: values[CLAIMED_FIELD] };
}

async function drain(
  node: Node,
  clock: SimClock,
  first: ReadonlyMap<string, Granted>,
): Promise<Map<string, Set<number>>> {
  await clock.advance(LEASE_MS + 1);
  const drained = new Map<string, Set<number>>();
  for (const [partition, { ids }] of first) {
    drained.set(partition, new Set([...ids, ...(await grant(node, partition)).ids]));
  }
  return drained;
}
