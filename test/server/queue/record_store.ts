/** What a checkpoint is to a queue: a sorted store of its records, which forgets those that are gone. */
import {
  machine,
  type Machine,
  type PartitionQueue,
  type QueueOptions,
  type QueueRecord,
} from '../../../server/queue/machine.ts';

export class RecordStore {
  /** By hexadecimal key. */
  readonly values: Map<string, Uint8Array>;

  constructor(values: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.values = new Map(values);
  }

  /** Saves up to `unitsMax` changed units and says how many it saved. */
  save(queue: PartitionQueue, unitsMax: number): number {
    return machine.saveDirty(queue, unitsMax, ({ key, value }) => {
      const name = Buffer.from(key).toString('hex');
      if (value !== null) this.values.set(name, value);
      else if (!this.values.delete(name)) throw new Error(`${name} is gone, but was never there`);
    });
  }

  saveAll(queue: PartitionQueue): void {
    this.save(queue, Infinity);
    if (machine.dirtyCount(queue) !== 0) throw new Error('something was left out');
  }

  records(): QueueRecord[] {
    return Array.from(this.values, ([key, value]) => ({ key: Uint8Array.from(Buffer.from(key, 'hex')), value }));
  }

  load(options: QueueOptions, by: Machine = machine): PartitionQueue {
    return by.loadQueue(options, this.records());
  }

  /** Keys and values in the order of the keys. */
  lines(): string[] {
    return Array.from(this.values, ([key, value]) => `${key} ${Buffer.from(value).toString('hex')}`).sort();
  }
}
