/**
 * The claim protocol under random commands, crashes and restarts; and planted bugs that the same runs must find.
 *
 * SEED=n and RUNS=n in the environment choose other sequences; TQ_LONG=1 runs 20,000.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import { machine, type Machine, type ReleaseEvent } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { isLong, runsOr, seedOr, TIMEOUT_MS } from '../../support/runs.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { sequences, type Sequence } from './sequences.ts';
import { runSequence } from './world.ts';

const seed = seedOr(20_240_601);
/** Of each of four tests. */
const numRuns = runsOr(isLong ? 5_000 : 125);
const bitmaps = createBitmaps(loadCore());

/** The real bitmaps, and plain ones with pages so short that twelve rows fill, double and free several. */
const memories: Record<string, () => Bitmaps> = {
  'core.wasm': () => bitmaps,
  'short pages': () => createPlainBitmaps(2, 4),
};

const title = `invariants I1 to I7 hold in ${numRuns} sequences, seed ${seed}, on %s`;
test.each(Object.keys(memories))(title, { timeout: TIMEOUT_MS }, (name) => {
  fc.assert(
    fc.property(sequences, (sequence) => runSequence(machine, memories[name](), sequence)),
    { seed, numRuns },
  );
});

const titleOfCheckpoints = 'they hold when crashes end in the last checkpoint, on %s';
test.each(Object.keys(memories))(titleOfCheckpoints, { timeout: TIMEOUT_MS }, (name) => {
  fc.assert(
    fc.property(sequences, (sequence) => runSequence(machine, memories[name](), sequence, { checkpoints: true })),
    { seed, numRuns },
  );
});

type Bug = Partial<{ -readonly [Name in keyof Machine]: Machine[Name] }>;

const bugs: Record<string, { readonly breaks: string; readonly bug: Bug }> = {
  'leases are lost on restart': { breaks: 'I2', bug: { restartLeases: () => {} } },
  'leases end too early': {
    breaks: 'I2',
    bug: { decideExpire: (queue, now) => machine.decideExpire(queue, now + 20) },
  },
  'renewals are forgotten': { breaks: 'I2', bug: { renewLease: () => {} } },
  'a renewal is longer than the lease that restarts': {
    breaks: 'I2',
    bug: {
      decideRenew: (queue, command) => {
        const decision = machine.decideRenew(queue, command);
        return decision.kind === 'renewed' ? { kind: 'renewed', leaseMs: command.leaseMs } : decision;
      },
    },
  },
  'attempts are not counted': {
    breaks: 'I2',
    bug: {
      decideClaim: (queue, command) => {
        const decision = machine.decideClaim(queue, command);
        if (decision.kind === 'grant') decision.attempts.fill(1);
        return decision;
      },
    },
  },
  'an ack gives the rows back': {
    breaks: 'I3',
    bug: { applyAck: (queue, event) => machine.applyRelease(queue, { ...event, type: 'release', reason: 'released' }) },
  },
  'auto_ack only leases': {
    breaks: 'I3',
    bug: { applyClaim: (queue, event, now) => machine.applyClaim(queue, { ...event, autoAck: false }, now) },
  },
  'expiry is forgotten': { breaks: 'I4', bug: { decideExpire: () => [] } },
  'incomplete rows do not count before the end': {
    breaks: 'I4',
    bug: {
      decideClaim: (queue, command) => {
        const decision = machine.decideClaim(queue, command);
        const { ready, leased } = machine.countClaim(queue, command, 0);
        const over = decision.kind === 'wait' && queue.sealed && ready + leased === 0;
        return over ? { kind: 'drained' } : decision;
      },
    },
  },
  'groups are split': {
    breaks: 'I5',
    bug: { decideClaim: (queue, command) => machine.decideClaim(queue, { ...command, sampler: 'fifo' }) },
  },
  'readiness runs ahead of the fields': {
    breaks: 'I5',
    bug: { applyInsert: (queue, insert) => machine.applyInsert(queue, { ...insert, fields: [0, 1, 2] }) },
  },
  'stale claims can be acked': {
    breaks: 'I6',
    bug: {
      decideAck: (queue, command) => {
        const decision = machine.decideAck(queue, command);
        return decision.kind === 'refuse' && decision.code === 'claim_stale' ? { kind: 'already' } : decision;
      },
    },
  },
  'a row that came back still belongs to its old claim': {
    breaks: 'I6',
    bug: {
      applyInsert: (queue, insert) => {
        const { orphans } = queue;
        Object.assign(queue, { orphans: new Map() });
        const rows = machine.applyInsert(queue, insert);
        Object.assign(queue, { orphans });
        return rows;
      },
    },
  },
  'late acks are refused': {
    breaks: 'I6',
    bug: {
      decideAck: (queue, command) => {
        const claim = queue.claims.get(command.claim);
        return claim !== undefined && queue.expired.has(claim)
          ? { kind: 'refuse', code: 'claim_stale' }
          : machine.decideAck(queue, command);
      },
    },
  },
  'dead letters come back': {
    breaks: 'D',
    bug: {
      applyRelease: (queue, event) => {
        const { settings } = queue;
        queue.settings = {};
        machine.applyRelease(queue, event);
        queue.settings = settings;
      },
    },
  },
  'dead letters are not queued anew': { breaks: 'D', bug: { applyRequeue: () => 0 } },
  'a late ack leaves dead letters dead': {
    breaks: 'D',
    bug: {
      applyAck: (queue, event) => {
        const claim = queue.claims.get(event.claim)!;
        const dead = claim.task.dead > 0 && queue.expired.has(claim);
        if (dead) machine.applyRelease(queue, { ...event, type: 'release', reason: 'released' });
        else machine.applyAck(queue, event);
      },
    },
  },
  'what was not delivered counts as an attempt': {
    breaks: 'I2',
    bug: { applyRelease: (queue, event) => machine.applyRelease(queue, { ...event, reason: reasonThatCounts(event) }) },
  },
  'skipped rows are granted': { breaks: 'D', bug: { applySkip: () => 0 } },
  'a reset does nothing': { breaks: 'I4', bug: { applyReset: () => ({ rows: 0, claims: [] }) } },
  'claims outlive a reset': {
    breaks: 'I6',
    bug: {
      decideAck: (queue, command) => {
        const decision = machine.decideAck(queue, command);
        const isStale = decision.kind === 'refuse' && decision.code === 'claim_stale';
        return isStale ? { kind: 'already' } : decision;
      },
    },
  },
  'a second ack is an error': {
    breaks: 'I7',
    bug: {
      decideAck: (queue, command) => {
        const decision = machine.decideAck(queue, command);
        return decision.kind === 'already' ? { kind: 'refuse', code: 'claim_unknown' } : decision;
      },
    },
  },
};

function reasonThatCounts({ reason }: ReleaseEvent): ReleaseEvent['reason'] {
  return reason === 'undelivered' ? 'released' : reason;
}

/** What was wrong with the sequence, or undefined. */
function verdictOf(broken: Machine, sequence: Sequence): string | undefined {
  try {
    runSequence(broken, createPlainBitmaps(), sequence);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('planted bugs are found', () => {
  /** More than it takes to be sure that the rarest bug shows; the first sequence that shows it ends the search. */
  const tried = fc.sample(sequences, { seed, numRuns: 2_000 });
  test.each(Object.entries(bugs))('%s', (_, { breaks, bug }) => {
    const broken = { ...machine, ...bug };
    expect(tried.some((sequence) => verdictOf(broken, sequence)?.startsWith(breaks))).toBe(true);
  });
});
