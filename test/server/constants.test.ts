/** The sizes and limits of what is stored, in one snapshot: none of them changes without being seen. */
import { expect, test } from 'vitest';
import * as contract from '@transfer-queue/core/protocol';
import { recordKinds } from '../../server/index/records.ts';
import { eventTypes } from '../../server/journal/events.ts';
import * as format from '../../server/journal/format.ts';
import { RESERVE_SIZE } from '../../server/journal/reserve.ts';
import { queueLimits } from '../../server/queue/machine.ts';
import { EXTENT_ALIGNMENT } from '../../server/segment/segments.ts';
import { segmentName } from '../../server/segment/files.ts';
import { WINDOW_SIZE_MAX } from '../../server/store/windows.ts';

/** Numbers and words of a module, without its functions. */
function constantsOf(module: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(module).filter(([, value]) => ['number', 'string'].includes(typeof value)));
}

test('what is on disk', () => {
  expect({
    journal: constantsOf(format),
    journalFile: format.fileName(1),
    record: [0, 1, 8, 9].map(format.recordSize),
    eventTypes,
    recordKinds,
    reserve: RESERVE_SIZE,
    extentAlignment: EXTENT_ALIGNMENT,
    segmentFile: segmentName(1),
    checksumBlock: contract.CHECKSUM_BLOCK_SIZE,
    ackLevels: contract.ackLevels,
  }).toMatchSnapshot();
});

test('what is on the wire', () => {
  const { limits, defaults, PROTOCOL_VERSION, TAIL_MAGIC, TAIL_SIZE, ID_END, samplers, outcomes } = contract;
  const wire = { limits, defaults, PROTOCOL_VERSION, TAIL_MAGIC, TAIL_SIZE, ID_END, samplers, outcomes };
  expect({ ...wire, window: WINDOW_SIZE_MAX }).toMatchSnapshot();
});

test('what is in memory', () => {
  expect(queueLimits).toMatchSnapshot();
});
