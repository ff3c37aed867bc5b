/** Random command sequences against a queue of 12 rows, 3 fields and 2 tasks. */
import fc from 'fast-check';
import type { ClaimCommand } from '../../../server/queue/machine.ts';

export const tasks = ['t', 'u'];
export const ROWS = 12;
export const FIELDS = 3;
export const LEASE_MS_MAX = 100;

export type Step =
  | { readonly kind: 'put'; readonly ids: number[]; readonly fields: number[] }
  | { readonly kind: 'putGroup'; readonly of: number; readonly fields: number[] }
  | { readonly kind: 'putWithAck'; readonly ids: number[]; readonly fields: number[]; readonly claim: number }
  | { readonly kind: 'remove'; readonly ids: number[] }
  | { readonly kind: 'claim'; readonly command: ClaimCommand }
  | { readonly kind: 'ack' | 'release'; readonly claim: number }
  | { readonly kind: 'renew'; readonly claim: number; readonly leaseMs: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'commit' | 'seal' }
  | { readonly kind: 'crash'; readonly partKept: number };

const ids = fc.uniqueArray(fc.nat(ROWS - 1), { minLength: 1, maxLength: 5 });
const fields = fc.uniqueArray(fc.nat(FIELDS - 1), { minLength: 1 });
/** Claims are named by how many came after them, so that most commands name a recent one. */
const claim = fc.oneof({ weight: 4, arbitrary: fc.nat(2) }, { weight: 1, arbitrary: fc.nat(9) });
const rowsMax = fc.integer({ min: 1, max: 8 });
const leaseMs = fc.integer({ min: 1, max: LEASE_MS_MAX });

const command: fc.Arbitrary<ClaimCommand> = fc
  .record({
    task: fc.constantFrom(...tasks),
    fields,
    rowsMax,
    rowsMin: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: rowsMax }),
    sampler: fc.constantFrom('fifo' as const, 'group' as const),
    leaseMs,
    autoAck: fc.nat(9).map((n) => n === 0),
    requestId: fc.constant(''),
  })
  .map((fields) => ({ ...fields, rowsMin: Math.min(fields.rowsMin, fields.rowsMax) }));

/** Each kind as often as its name stands here. */
const steps: readonly fc.Arbitrary<Step>[] = [
  ...times(3, fc.record({ kind: fc.constant('put' as const), ids, fields })),
  ...times(3, fc.record({ kind: fc.constant('putGroup' as const), of: fc.nat(ROWS - 1), fields })),
  ...times(1, fc.record({ kind: fc.constant('putWithAck' as const), ids, fields, claim })),
  ...times(1, fc.record({ kind: fc.constant('remove' as const), ids })),
  ...times(6, fc.record({ kind: fc.constant('claim' as const), command })),
  ...times(3, fc.record({ kind: fc.constant('ack' as const), claim })),
  ...times(1, fc.record({ kind: fc.constant('release' as const), claim })),
  ...times(1, fc.record({ kind: fc.constant('renew' as const), claim, leaseMs: fc.nat(2 * LEASE_MS_MAX) })),
  ...times(3, fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(LEASE_MS_MAX) })),
  ...times(4, fc.constant({ kind: 'commit' as const })),
  ...times(1, fc.record({ kind: fc.constant('crash' as const), partKept: fc.constantFrom(0, 0.5, 1) })),
];

/** A seal ends the arrival of rows, so it comes late or not at all. */
export const sequences = fc.record({
  groupSize: fc.constantFrom(1, 2, 3),
  steps: fc.array(fc.oneof(...steps), { minLength: 1, maxLength: 170, size: 'max' }),
  sealed: fc.boolean(),
  stepsAfter: fc.array(fc.oneof(...steps), { maxLength: 29, size: 'max' }),
});

export interface Sequence {
  readonly groupSize: number;
  readonly steps: readonly Step[];
  readonly sealed: boolean;
  readonly stepsAfter: readonly Step[];
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}
