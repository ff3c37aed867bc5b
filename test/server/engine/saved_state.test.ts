/** States of partitions as bytes: lists that no partition could have are refused by their length. */
import { expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { decodeState, encodeState } from '../../../server/engine/saved_state.ts';
import { atOnce } from '../../../server/env/slice.ts';
import { FormatError } from '../../../server/journal/bytes.ts';
import type { PartitionSettings } from '../../../server/journal/events.ts';
import { core } from '../../support/node.ts';

function decoded(more: Partial<PartitionSettings>): PartitionSettings {
  const settings = { name: 'p', fields: [], open: true, groupSize: 1, ack: 'os', ...more } as const;
  const parts = atOnce(encodeState(core, { partition: 'p', lsn: 1, settings, records: [] }, []));
  return atOnce(decodeState(core, Buffer.concat(parts))).settings;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);
const tasks = (count: number): { name: string }[] => names(count).map((name) => ({ name }));

test.each<[string, (count: number) => Partial<PartitionSettings>, number]>([
  ['tasks', (count) => ({ tasks: tasks(count) }), limits.tasksPerPartitionMax],
  ['numbers', (count) => ({ numbers: names(count) }), limits.numbersPerPartitionMax],
])('%s are as many as a partition may have', (name, settings, limit) => {
  expect(decoded(settings(limit))).toMatchObject(settings(limit));
  expect(() => decoded(settings(limit + 1))).toThrow(FormatError);
  expect(() => decoded(settings(limit + 1))).toThrow(`/settings/${name}`);
});
