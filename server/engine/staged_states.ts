/**
 * States of partitions that a load brings, part by part, until the last one makes queues of them.
 *
 *   restore, restore, ... restore (last) -> the bytes of one state          record: kind restore, key u32 part
 *
 * Invariant: a checkpoint between two parts keeps those before it, so that a start ends with the same bytes.
 */
import type { Records, SavedRecord } from '../index/records.ts';
import type { RestoreEvent } from '../journal/events.ts';

/** A part is as much to save as so many units of a queue. */
const PART_UNITS = 4;

interface Staged {
  readonly parts: Uint8Array[];
  /** So many of them have records. */
  saved: number;
}

export class StagedStates {
  readonly #staged = new Map<number, Staged>();
  /** Partitions whose states are whole, with the records that are to be removed. */
  readonly #spent = new Map<number, number>();

  /** The parts of the whole state, once its last one is here. */
  add({ partition, last, bytes }: RestoreEvent): readonly Uint8Array[] | null {
    const staged = this.#staged.get(partition) ?? { parts: [], saved: 0 };
    staged.parts.push(bytes);
    this.#staged.set(partition, staged);
    if (!last) return null;
    this.#staged.delete(partition);
    if (staged.saved > 0) this.#spent.set(partition, staged.saved);
    return staged.parts;
  }

  /** The partition is dropped, with all its records. */
  forget(partition: number): void {
    this.#staged.delete(partition);
    this.#spent.delete(partition);
  }

  /** Records come in the order of their keys. */
  load({ partition, value }: SavedRecord): void {
    const staged = this.#staged.get(partition) ?? { parts: [], saved: 0 };
    staged.parts.push(value);
    staged.saved += 1;
    this.#staged.set(partition, staged);
  }

  get dirtyCount(): number {
    let count = this.#spent.size;
    for (const { parts, saved } of this.#staged.values()) count += PART_UNITS * (parts.length - saved);
    return count;
  }

  /** Saves parts up to `unitsMax` units or a part more; returns how many. A state that is spent counts as one. */
  saveDirty(records: Records, { unitsMax, lsn }: { unitsMax: number; lsn: number }): number {
    let left = unitsMax;
    for (const [partition, saved] of this.#spent) {
      if (left <= 0) return unitsMax;
      for (let part = 0; part < saved; part++) {
        records.write({ partition, kind: 'restore', key: partKey(part), value: null }, lsn);
      }
      this.#spent.delete(partition);
      left--;
    }
    for (const [partition, staged] of this.#staged) {
      for (; staged.saved < staged.parts.length && left > 0; staged.saved++, left -= PART_UNITS) {
        const value = staged.parts[staged.saved];
        records.write({ partition, kind: 'restore', key: partKey(staged.saved), value }, lsn);
      }
    }
    return unitsMax - left;
  }
}

function partKey(part: number): Uint8Array {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(part);
  return key;
}
