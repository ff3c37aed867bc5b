/**
 * Rows and bytes of all partitions together, for the budgets of the node.
 *
 * Invariant: a sum looks only at partitions that changed since the one before, unless some went.
 */
import type { JournalEvent } from '../journal/events.ts';
import type { NodeState } from './state.ts';

/** Rows, and the bytes that they come with. */
export interface Room {
  readonly rows: number;
  readonly size: number;
}

export const NO_ROOM: Room = { rows: 0, size: 0 };

export class NodeTotals {
  readonly #state: NodeState;
  /** By partition, as the sums have them. */
  readonly #counted = new Map<number, Room>();
  readonly #changed = new Set<number>();
  #rows = 0;
  #size = 0;

  constructor(state: NodeState) {
    this.#state = state;
    this.#changeAll();
  }

  /** The event was applied. */
  note(event: JournalEvent): void {
    // Blobs go with their partition, and no event names them.
    if (event.type === 'drop' || event.type === 'adopt') this.#changeAll();
    else if ('partition' in event) this.#changed.add(event.partition);
  }

  noteFreed(partition: number): void {
    this.#changed.add(partition);
  }

  sum(): Room {
    for (const id of this.#changed) this.#count(id);
    this.#changed.clear();
    return { rows: this.#rows, size: this.#size };
  }

  #changeAll(): void {
    for (const id of this.#counted.keys()) this.#changed.add(id);
    for (const { id } of this.#state.store.partitions()) this.#changed.add(id);
  }

  #count(id: number): void {
    const before = this.#counted.get(id) ?? NO_ROOM;
    const partition = this.#state.store.partitionById(id);
    const now = partition && { rows: this.#state.queue(partition).slots.rows, size: partition.bytes };
    if (now === undefined) this.#counted.delete(id);
    else this.#counted.set(id, now);
    this.#rows += (now ?? NO_ROOM).rows - before.rows;
    this.#size += (now ?? NO_ROOM).size - before.size;
  }
}
