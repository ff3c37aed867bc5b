/**
 * Suite `queue`, case `draws`: what a claim of each sampler costs when very many rows are ready, in the state machine
 * alone. Each claim is decided, applied and acked, by a task of the sampler's own; what comes from outside is journaled
 * and sent between the first two.
 */

import { loadCore } from '../../core/wasm.ts';
import { machine, type ClaimCommand, type PartitionQueue } from '../../server/queue/machine.ts';
import { createBitmaps } from '../../server/queue/wasm_bitmaps.ts';
import { quantile } from './runner/measure.ts';
import type { BenchContext } from './runner/suite.ts';

const READY_ROWS = 1_000_000;
const ROWS = 64;
const CLAIMS = 200;
const ROUNDS = 5;
const GROUP_SIZE = 8;
const INSERT_ROWS = 4_096;
const NUMBERS = ['length', 'priority', 'weight', 'version', 'rising'];

/** What claims ask for, besides the first field. */
const samplers: Readonly<Record<string, Partial<ClaimCommand>>> = {
  fifo: {},
  group: { sampler: 'group' },
  window: { window: { by: 'version', minVersion: 1, onStale: 'skip' } },
  tokens: { tokens: { by: 'length', max: 1e6 } },
  where: { where: 'length >= 50' },
  priority: { sampler: 'priority' },
  'rising priority': { sampler: 'priority', by: 'rising' },
  weighted: { sampler: 'weighted', seed: 1 },
};

export function benchDraws({ report }: BenchContext): void {
  const queue = filledQueue(READY_ROWS);
  const cost = { unit: 'us/claim', better: 'lower' } as const;
  for (const [name, asked] of Object.entries(samplers)) {
    const taken = new Uint8Array(READY_ROWS);
    const rounds = Array.from({ length: 1 + ROUNDS }, () => claimTimes(queue, name, asked, taken)).slice(1);
    const what = `claim of ${ROWS} of ${READY_ROWS} ready rows, ${name}`;
    report({ case: what, metric: 'median', ...cost, ours: rounds.map((times) => quantile(times, 0.5)) });
    report({ case: what, metric: 'p99', ...cost, ours: rounds.map((times) => quantile(times, 0.99)) });
  }
  machine.drop(queue);
}

function filledQueue(rows: number): PartitionQueue {
  const bitmaps = createBitmaps(loadCore());
  const queue = machine.create({ partition: 1, groupSize: GROUP_SIZE, bitmaps, settings: { numbers: NUMBERS } });
  for (let first = 0; first < rows; first += INSERT_ROWS) {
    const ids = Float64Array.from({ length: Math.min(INSERT_ROWS, rows - first) }, (_, i) => first + i);
    machine.applyInsert(queue, { ids, fields: [0] });
    const tags = Array.from(ids, (id) => {
      const scattered = (Math.imul(id + 1, 0x9e3779b1) >>> 0) % 1_000;
      const version = 1 + Math.floor(id / INSERT_ROWS);
      return JSON.stringify({
        length: scattered % 100,
        priority: scattered,
        weight: 1 + scattered,
        version,
        rising: id,
      });
    });
    machine.applyTags(queue, { ids, tags });
  }
  return queue;
}

let claimNext = 1;

/** Microseconds of each claim and its ack. */
function claimTimes(queue: PartitionQueue, task: string, asked: Partial<ClaimCommand>, taken: Uint8Array): number[] {
  const base = { task, fields: [0], rowsMax: ROWS, rowsMin: ROWS, leaseMs: 1_000, autoAck: false, requestId: '' };
  const command: ClaimCommand = { ...base, sampler: 'fifo', ...asked };
  return Array.from({ length: CLAIMS }, () => {
    const startMs = performance.now();
    const decision = machine.decideClaim(queue, command);
    if (decision.kind !== 'grant') throw new Error(`no rows: ${decision.kind}`);
    const claim = claimNext++;
    const { ids, attempts } = decision;
    machine.applyClaim(queue, { ...base, type: 'claim', partition: 1, epoch: 1, claim, ids, attempts }, 0);
    machine.applyAck(queue, { type: 'ack', partition: 1, claim, requestId: '' });
    const us = (performance.now() - startMs) * 1_000;
    if (ids.length !== ROWS) throw new Error(`${ids.length} rows`);
    for (const id of ids) if (taken[id]++ > 0) throw new Error(`row ${id} came twice`);
    return us;
  });
}
