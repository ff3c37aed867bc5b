/** Names of partitions and fields, which events give as numbers: learned from declare events and from checkpoints. */
import type { AdoptEvent, DeclareEvent, JournalEvent, PartitionSettings } from '../journal/events.ts';

export class Names {
  readonly #settings = new Map<number, PartitionSettings>();

  /** Fields are only ever added, so that the longest list has all their names. */
  learn({ partition, settings }: Pick<DeclareEvent, 'partition' | 'settings'>): void {
    const known = this.#settings.get(partition);
    if (known === undefined || known.fields.length <= settings.fields.length) this.#settings.set(partition, settings);
  }

  /** A load gives names to partitions. */
  adopt({ pairs }: AdoptEvent): void {
    for (const { partition, name } of pairs) {
      const known = this.#settings.get(partition);
      if (known !== undefined) this.#settings.set(partition, { ...known, name });
    }
  }

  /** The name of a partition that may have been dropped since; `#7` when nobody knows it. */
  partition(id: number): string {
    return this.#settings.get(id)?.name ?? `#${id}`;
  }

  field(partition: number, field: number): string {
    return this.#settings.get(partition)?.fields[field]?.name ?? `#${field}`;
  }

  fields(partition: number, fields: readonly number[]): string[] {
    return fields.map((field) => this.field(partition, field));
  }

  /** Numbers of the partitions that have or had the name, or the one that is written as `#7`. */
  numbersOf(name: string): number[] {
    if (/^#\d+$/.test(name)) return [Number(name.slice(1))];
    return [...this.#settings].filter(([, settings]) => settings.name === name).map(([id]) => id);
  }

  settingsOf(partition: number): PartitionSettings | undefined {
    return this.#settings.get(partition);
  }
}

/** The fields that a put brings, each once. */
export function fieldsOfInsert(event: Extract<JournalEvent, { type: 'insert' }>): number[] {
  return [...new Set(event.batches.flatMap(({ columns }) => columns.map(({ field }) => field)))];
}
