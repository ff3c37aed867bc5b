/** A stream that never ends needs no more memory than its rows alive; and what a claim costs (printed, not judged). */
import { loadCore } from '@transfer-queue/core/wasm';
import { expect, test } from 'vitest';
import { machine, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

const MILLION = 1_000_000;
const PUT_ROWS = 4_000;

const wanted: ClaimCommand = {
  task: 't',
  fields: [0, 1],
  rowsMax: 64,
  rowsMin: 1,
  sampler: 'fifo',
  leaseMs: 1000,
  autoAck: false,
  requestId: '',
};

/** Ids in no order, each once: an odd multiplier permutes the numbers below a power of two. */
function scatteredIds(first: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => (Math.imul(first + i, 0x9e3779b1) >>> 0) % 2 ** 32);
}

function claimOnce(queue: PartitionQueue, claim: number, command: ClaimCommand): Float64Array {
  const decision = machine.decideClaim(queue, command);
  if (decision.kind !== 'grant') throw new Error(decision.kind);
  const { ids, attempts } = decision;
  const { task, fields, leaseMs, autoAck, requestId } = command;
  const granted = { ids, attempts, task, fields, leaseMs, autoAck, requestId };
  machine.applyClaim(queue, { type: 'claim', partition: 1, epoch: 1, claim, ...granted }, 0);
  return ids;
}

test.each([1, 8])('a million rows in groups of %i, put, consumed and deleted, leave nothing behind', (groupSize) => {
  const core = loadCore();
  const queue = machine.create({ partition: 1, groupSize, bitmaps: createBitmaps(core) });
  const pagesAtStart = core.bitmaps.pagesUsed;
  let claim = 0;
  let pagesMost = 0;
  for (let first = 0; first < MILLION; first += PUT_ROWS) {
    const ids =
      groupSize === 1 ? scatteredIds(first, PUT_ROWS) : Float64Array.from({ length: PUT_ROWS }, (_, i) => first + i);
    machine.applyInsert(queue, { ids, fields: [0] });
    machine.applyInsert(queue, { ids: ids.toReversed(), fields: [1] });
    for (let rows = 0; rows < PUT_ROWS; rows += 1_000) {
      claim += 1;
      const granted = claimOnce(queue, claim, { ...wanted, rowsMax: 1_000, sampler: 'group' });
      machine.applyAck(queue, { type: 'ack', partition: 1, claim, requestId: '' });
      if (rows > 0) machine.applyDelete(queue, granted);
    }
    machine.applyDelete(queue, ids);
    pagesMost = Math.max(pagesMost, queue.slots.pages.length);
    expect(queue.slots.table.size).toBe(0);
  }
  expect(claim).toBe(MILLION / 1_000);
  expect(queue.slots.rows).toBe(0);
  expect(pagesMost).toBeLessThanOrEqual(2);
  expect(core.bitmaps.pagesUsed - pagesAtStart).toBeLessThanOrEqual(64);
  expect(queue.slots.table.cells.mask).toBeLessThan(4 * PUT_ROWS);
  expect(queue.ended.size).toBeLessThanOrEqual(queue.limits.endedClaimsMax);
  expect(queue.claims.size + queue.leases.length + queue.expired.size + queue.orphans.size).toBe(0);
});

test('a row that stays keeps its page and no other', () => {
  const bitmaps = createPlainBitmaps();
  const queue = machine.create({ partition: 1, groupSize: 1, bitmaps });
  machine.applyInsert(queue, { ids: Float64Array.of(7), fields: [0] });
  for (let first = 100; first < 300_000; first += 20_000) {
    const ids = Float64Array.from({ length: 20_000 }, (_, i) => first + i);
    machine.applyInsert(queue, { ids, fields: [0] });
    machine.applyDelete(queue, ids);
  }
  expect(queue.slots.pages.length).toBeLessThanOrEqual(2);
  expect(claimOnce(queue, 1, { ...wanted, fields: [0] })).toEqual(Float64Array.of(7));
  machine.drop(queue);
  expect(bitmaps.bitsAlive()).toBe(0);
});

test('what it costs at a million rows', () => {
  const queue = machine.create({ partition: 1, groupSize: 8, bitmaps: createBitmaps(loadCore()) });
  const started = performance.now();
  for (let first = 0; first < MILLION; first += PUT_ROWS) {
    const ids = Float64Array.from({ length: PUT_ROWS }, (_, i) => first + i);
    machine.applyInsert(queue, { ids, fields: [0, 1] });
  }
  const figures = [`put of ${PUT_ROWS} rows ${microseconds(started, MILLION / PUT_ROWS)} us`];
  for (const sampler of ['fifo', 'group'] as const) {
    const claims = 2_000;
    const from = performance.now();
    for (let i = 1; i <= claims; i += 1) {
      const claim = i + (sampler === 'fifo' ? 0 : claims);
      claimOnce(queue, claim, { ...wanted, task: sampler, sampler });
      machine.applyAck(queue, { type: 'ack', partition: 1, claim, requestId: '' });
    }
    figures.push(`claim and ack of 64 rows (${sampler}) ${microseconds(from, claims)} us`);
  }
  machine.applyInsert(queue, { ids: Float64Array.of(MILLION), fields: [2] });
  const from = performance.now();
  for (let i = 0; i < 1_000; i += 1) machine.decideClaim(queue, { ...wanted, fields: [0, 1, 2], rowsMin: 64 });
  figures.push(`claim that must wait ${microseconds(from, 1_000)} us`);
  console.log(`at ${MILLION} rows: ${figures.join(', ')}`);
});

function microseconds(from: number, count: number): string {
  return (((performance.now() - from) * 1_000) / count).toFixed(1);
}
