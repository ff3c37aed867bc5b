/**
 * What a put of new rows would take, what a budget has left, and which budget lacks room.
 *
 *   budget      counts                         of                       freed by
 *   rows_max    rows that are there            a partition, the node    delete, drop
 *   bytes_max   bytes of extents that live     a partition, the node    delete, drop, overwritten cells, readers done
 *   pace        rows that ever came, but for   a partition              advance of its version, skips
 *               those that a task skipped
 *
 * A put has room when `used + asked <= limit` in all of them. Room that was given to puts counts as used.
 */
import { StoreError } from '../errors.ts';
import type { PartitionQueue } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import { NO_ROOM, type NodeTotals, type Room } from './node_totals.ts';
import type { NodeState } from './state.ts';

/** Of all partitions together; 0 for no limit. */
export interface NodeBudget {
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** The first budget that has no room. */
export interface Lack {
  readonly of: 'partition' | 'node';
  readonly budget: 'rows_max' | 'bytes_max' | 'pace';
  readonly limit: number;
  readonly used: number;
  readonly asked: number;
}

/** Room that puts were given and have not used yet. */
export class GivenRoom<Put extends { readonly partition: Partition }> {
  readonly #rooms = new Map<Put, Room>();
  /** Their sums, by partition. */
  readonly #sums = new Map<Partition, Room>();
  #all = NO_ROOM;

  /** Of all partitions. */
  get all(): Room {
    return this.#all;
  }

  to(put: Put): Room {
    return this.#rooms.get(put) ?? NO_ROOM;
  }

  in(partition: Partition): Room {
    return this.#sums.get(partition) ?? NO_ROOM;
  }

  give(put: Put, room: Room): void {
    this.#rooms.set(put, room);
    this.#sums.set(put.partition, plus(this.in(put.partition), room));
    this.#all = plus(this.#all, room);
  }

  /** Whether the put had any. */
  takeBack(put: Put): boolean {
    const { rows, size } = this.to(put);
    if (!this.#rooms.delete(put)) return false;
    const sum = plus(this.in(put.partition), { rows: -rows, size: -size });
    if (sum.rows === 0) this.#sums.delete(put.partition);
    else this.#sums.set(put.partition, sum);
    this.#all = plus(this.#all, { rows: -rows, size: -size });
    return true;
  }
}

function plus(a: Room, b: Room): Room {
  return { rows: a.rows + b.rows, size: a.size + b.size };
}

/** What the budgets are read from. */
interface Books {
  readonly state: NodeState;
  readonly node: NodeBudget;
  readonly partition: Partition;
  readonly totals: NodeTotals;
  readonly given: Pick<GivenRoom<never>, 'in' | 'all'>;
}

export function isNodeBounded({ rowsMax, bytesMax }: NodeBudget): boolean {
  return rowsMax > 0 || bytesMax > 0;
}

/** Whether new rows of the partition need room at all. */
export function isBounded({ settings }: Partition, node: NodeBudget): boolean {
  const { rowsMax, bytesMax, pace } = settings;
  return isNodeBounded(node) || [rowsMax, bytesMax, pace].some((budget) => budget !== undefined);
}

/** Null when there is room. A lack of the partition goes before one of the node. */
export function findLack(books: Books, { rows, size }: Room): Lack | null {
  const { state, node, partition } = books;
  const given = books.given.in(partition);
  const { rowsMax, bytesMax, pace } = partition.settings;
  const queue = state.queue(partition);
  const of = 'partition';
  const lacks: Lack[] = [];
  if (rowsMax !== undefined) {
    lacks.push({ of, budget: 'rows_max', limit: rowsMax, used: queue.slots.rows + given.rows, asked: rows });
  }
  if (bytesMax !== undefined) {
    lacks.push({ of, budget: 'bytes_max', limit: bytesMax, used: partition.bytes + given.size, asked: size });
  }
  if (pace !== undefined) {
    const limit = (queue.version + pace.maxAhead + 1) * pace.rowsPerVersion;
    lacks.push({ of, budget: 'pace', limit, used: queue.rowsAdmitted - skippedMost(queue) + given.rows, asked: rows });
  }
  if (isNodeBounded(node)) lacks.push(...nodeBudgets(books, { rows, size }));
  return lacks.find(({ limit, used, asked }) => used + asked > limit) ?? null;
}

/** A row that a task skipped trains no version: others may come in its place, or the task would starve. */
function skippedMost(queue: PartitionQueue): number {
  let most = 0;
  for (const { skipped } of queue.tasks.values()) most = Math.max(most, skipped);
  return most;
}

function nodeBudgets({ totals, node, given }: Books, asked: Room): Lack[] {
  const used = plus(totals.sum(), given.all);
  const of = 'node';
  return [
    { of, budget: 'rows_max', limit: node.rowsMax || Infinity, used: used.rows, asked: asked.rows },
    { of, budget: 'bytes_max', limit: node.bytesMax || Infinity, used: used.size, asked: asked.size },
  ];
}

/** Whether the put exceeds a budget by itself, so that no wait can help. A pace lets all rows in, one day. */
export function isHopeless({ budget, limit, asked }: Lack): boolean {
  return budget !== 'pace' && asked > limit;
}

/** The refusal. Without a lack there would be room, but others wait before the put. */
export function overBudget(
  { settings: { name: partition } }: Partition,
  lack: Lack | null,
  details: Readonly<Record<string, unknown>>,
): StoreError {
  return new StoreError('over_budget', { partition, ...(lack ?? { reason: 'others wait before it' }), ...details });
}
