/** The keys of the rows that were put by key. */
import { KEY_TAG } from '@transfer-queue/core/protocol';
import type { PartitionQueue } from './state.ts';

export function* keysOf({ slots }: PartitionQueue): Generator<string> {
  for (const page of slots.pages) {
    for (const tags of page.tags ?? []) {
      const key = tags?.[KEY_TAG];
      if (typeof key === 'string') yield key;
    }
  }
}
