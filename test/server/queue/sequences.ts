/** Random command sequences against a queue of 12 rows, 3 fields and 2 tasks. */
import fc from 'fast-check';
import type { DeclaredTask } from '../../../server/journal/events.ts';
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
  | { readonly kind: 'ack' | 'release' | 'undelivered'; readonly claim: number }
  | { readonly kind: 'declare'; readonly tasks: readonly DeclaredTask[] }
  | { readonly kind: 'requeue'; readonly task: string; readonly ids: number[] }
  | { readonly kind: 'reset'; readonly task: string }
  | { readonly kind: 'skip'; readonly task: string; readonly fields: number[]; readonly ids: number[] }
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

const task = fc.constantFrom(...tasks);
/** What is declared of the tasks: nothing, one of them, or both, with few attempts. */
const declared: fc.Arbitrary<DeclaredTask[]> = fc
  .tuple(...tasks.map((name) => fc.option(fc.record({ name: fc.constant(name), maxAttempts: fc.nat(3) }))))
  .map((chosen) => chosen.filter((each) => each !== null).map(({ name, maxAttempts }) => declare(name, maxAttempts)));

/** Each kind as often as its name stands here. */
const steps: readonly fc.Arbitrary<Step>[] = [
  ...times(3, fc.record({ kind: fc.constant('put' as const), ids, fields })),
  ...times(3, fc.record({ kind: fc.constant('putGroup' as const), of: fc.nat(ROWS - 1), fields })),
  ...times(1, fc.record({ kind: fc.constant('putWithAck' as const), ids, fields, claim })),
  ...times(1, fc.record({ kind: fc.constant('remove' as const), ids })),
  ...times(6, fc.record({ kind: fc.constant('claim' as const), command })),
  ...times(3, fc.record({ kind: fc.constant('ack' as const), claim })),
  ...times(1, fc.record({ kind: fc.constantFrom('release' as const, 'undelivered' as const), claim })),
  ...times(1, fc.record({ kind: fc.constant('requeue' as const), task, ids })),
  ...times(2, fc.record({ kind: fc.constant('renew' as const), claim, leaseMs: fc.nat(2 * LEASE_MS_MAX) })),
  ...times(3, fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(LEASE_MS_MAX) })),
  ...times(4, fc.constant({ kind: 'commit' as const })),
  ...times(1, fc.record({ kind: fc.constant('crash' as const), partKept: fc.constantFrom(0, 0.5, 1) })),
];
/** These change much, so that they come seldom. */
const rare: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('reset' as const), task }),
  fc.record({ kind: fc.constant('skip' as const), task, fields, ids }),
  fc.record({ kind: fc.constant('declare' as const), tasks: declared }),
);
const step = fc.oneof(...steps.map((arbitrary) => ({ arbitrary, weight: 4 })), { arbitrary: rare, weight: 3 });

/** A seal ends the arrival of rows, so it comes late or not at all. */
export const sequences = fc.record({
  groupSize: fc.constantFrom(1, 2, 3),
  tasks: declared,
  steps: fc.array(step, { minLength: 1, maxLength: 170, size: 'max' }),
  sealed: fc.boolean(),
  stepsAfter: fc.array(step, { maxLength: 29, size: 'max' }),
});

export interface Sequence {
  readonly groupSize: number;
  /** What is declared at the beginning. */
  readonly tasks: readonly DeclaredTask[];
  readonly steps: readonly Step[];
  readonly sealed: boolean;
  readonly stepsAfter: readonly Step[];
}

function declare(name: string, maxAttempts: number): DeclaredTask {
  return maxAttempts === 0 ? { name } : { name, maxAttempts };
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}
