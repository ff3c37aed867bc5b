/** Full pages: every chunk of every unit comes back; and what a unit costs (printed, not judged). */
import { loadCore } from '@transfer-queue/core/wasm';
import { expect, test } from 'vitest';
import { machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { dump } from './dump.ts';
import { RecordStore } from './record_store.ts';

const PAGE_ROWS = 65_536;
const CLAIM_ROWS = 64;
const bitmaps = createBitmaps(loadCore());

/** Ids in no order, each once. */
const scattered = (id: number): number => Math.imul(id, 0x9e3779b1) >>> 0;
const inOrder = (id: number): number => id;

interface Plan {
  readonly groupSize: number;
  readonly rows: number;
  readonly fields: number;
  readonly idOf: (row: number) => number;
  /** Which of the rows a claim takes as its k-th: neighbours, or some from all over. */
  readonly rowOf: (claim: number, k: number) => number;
  /** What becomes of a claim. */
  readonly endOf: (claim: number) => 'ack' | 'expire' | 'none';
}

function build({ groupSize, rows, fields, idOf, rowOf, endOf }: Plan): PartitionQueue {
  const queue = machine.create({ partition: 1, groupSize, bitmaps });
  const ids = Float64Array.from({ length: rows }, (_, row) => idOf(row));
  for (let field = 0; field < fields; field += 1) {
    machine.applyInsert(queue, {
      ids: field === 0 ? ids : ids.filter((_, row) => row % (field + 1) < 2),
      fields: [field],
    });
  }
  for (const [index, task] of ['t', 'u'].entries()) {
    const claims = Math.floor(rows / CLAIM_ROWS);
    for (let i = 0; i < claims; i += 1) {
      const claim = index * claims + i + 1;
      const taken = Float64Array.from({ length: CLAIM_ROWS }, (_, k) => ids[rowOf(i, k)]);
      const granted = { ids: taken, attempts: new Uint16Array(CLAIM_ROWS), leaseMs: 1_000, autoAck: false };
      machine.applyClaim(
        queue,
        { type: 'claim', partition: 1, epoch: 1, claim, task, fields: [0], requestId: `${claim}`, ...granted },
        0,
      );
      const end = endOf(claim);
      if (end === 'ack') machine.applyAck(queue, { type: 'ack', partition: 1, claim, requestId: '' });
      if (end === 'expire') {
        machine.applyRelease(queue, { type: 'release', partition: 1, claim, requestId: '', reason: 'expired' });
      }
    }
  }
  return queue;
}

const endOf = (claim: number): 'ack' | 'expire' | 'none' => (['ack', 'expire', 'none'] as const)[claim % 3];
const plans: Record<string, Plan> = {
  'neighbours, in order': {
    ...{ groupSize: 1, rows: PAGE_ROWS, fields: 8, idOf: inOrder, endOf },
    rowOf: (claim, k) => claim * CLAIM_ROWS + k,
  },
  'from all over, in no order': {
    ...{ groupSize: 1, rows: PAGE_ROWS, fields: 8, idOf: scattered, endOf },
    rowOf: (claim, k) => k * (PAGE_ROWS / CLAIM_ROWS) + ((claim * 7 + k * 13) % (PAGE_ROWS / CLAIM_ROWS)),
  },
  'groups that do not fill a page': {
    ...{ groupSize: 3, rows: 3 * PAGE_ROWS, fields: 2, idOf: inOrder, endOf },
    rowOf: (claim, k) => claim * CLAIM_ROWS + k,
  },
};

test.each(Object.entries(plans))('%s', (name, plan) => {
  const queue = build(plan);
  const store = new RecordStore();
  const costs: number[] = [];
  while (machine.dirtyCount(queue) > 0) {
    const from = performance.now();
    store.save(queue, 1);
    costs.push((performance.now() - from) * 1_000);
  }
  const from = performance.now();
  const loaded = store.load({ partition: 1, groupSize: plan.groupSize, bitmaps });
  const loadMs = performance.now() - from;
  expect(dump(loaded)).toEqual(dump(queue));
  expect(machine.dirtyCount(loaded)).toBe(0);
  machine.drop(queue);
  machine.drop(loaded);
  const [median, high] = [0.5, 0.999].map((part) => costs.sort((a, b) => a - b)[Math.floor(part * costs.length)]);
  const size = [...store.values.values()].reduce((sum, value) => sum + value.length, 0);
  const cost = `${median.toFixed(1)} us each, 99.9 % below ${high.toFixed(0)} us, loaded in ${loadMs.toFixed(0)} ms`;
  console.log(`${plan.rows} rows, ${name}: ${costs.length} units of ${size} bytes, ${cost}`);
});
