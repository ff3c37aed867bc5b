/** Request ids: what is remembered of them, and for how long. */
import { expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { RequestTable, type RequestOutcome } from '../../../server/engine/requests.ts';

function outcome(lsn: number): RequestOutcome {
  return { kind: 'put', partition: 1, lsn, rows: 1, commit: Promise.resolve() };
}

test('the newest are kept, the oldest go, and none is kept for requests without an id', () => {
  const table = new RequestTable();
  const count = limits.requestIdsKept + 1_000;
  for (let i = 0; i < count; i++) {
    table.set(`request-${i}`, outcome(i));
    table.set('', outcome(i));
  }
  expect(table.get('')).toBeUndefined();
  expect(table.get('request-999')).toBeUndefined();
  expect(table.get('request-1000')).toMatchObject({ lsn: 1_000 });
  expect(table.get(`request-${count - 1}`)).toMatchObject({ lsn: count - 1 });
});

test('an id that comes again takes no more room', () => {
  const table = new RequestTable();
  for (let i = 0; i < limits.requestIdsKept; i++) table.set(`request-${i}`, outcome(i));
  for (let i = 0; i < 10; i++) table.set('request-5', outcome(-i));
  expect(table.get('request-0')).toMatchObject({ lsn: 0 });
  expect(table.get('request-5')).toMatchObject({ lsn: -9 });
});
