/** After any event, whoever could be served was tried: no head of a line is left waiting for rows that are there. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JournalEvent } from '../../../server/journal/events.ts';
import { machine, type ClaimCommand, type ClaimDecision } from '../../../server/queue/machine.ts';
import { addClaimWaiter, createClaimWaiters, hasLine, wakeAfter } from '../../../server/queue/waiters.ts';
import { Harness, type Journaled } from './harness.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { sequences, type Sequence, type Step } from './sequences.ts';

interface Parked {
  readonly command: ClaimCommand;
}

class Desk {
  readonly waiters = createClaimWaiters<Parked>();
  readonly harness: Harness;
  /** How each wait ended. */
  readonly ends: ClaimDecision['kind'][] = [];

  constructor({ groupSize, tasks }: Sequence, forgotten?: Journaled['type']) {
    const onEvent = (event: Journaled): void => {
      if (event.type === forgotten || event.type === 'declare') return;
      wakeAfter(this.waiters, this.harness.queue, asJournaled(event), (waiter) => this.#attempt(waiter));
    };
    const bitmaps = createPlainBitmaps(2, 8);
    this.harness = new Harness({ machine, groupSize, bitmaps, settings: { tasks }, onEvent });
  }

  perform(step: Step, groupSize: number): void {
    const { harness } = this;
    const grants = harness.journal.filter((event) => event.type === 'claim');
    const recent = (index: number): number => grants.at(-1 - index)?.claim ?? 0;
    if (step.kind === 'put') harness.put(step.ids, step.fields);
    if (step.kind === 'putGroup') {
      const first = step.of - (step.of % groupSize);
      harness.put(
        Array.from({ length: groupSize }, (_, k) => first + k),
        step.fields,
      );
    }
    if (step.kind === 'putWithAck') harness.put(step.ids, step.fields, recent(step.claim));
    if (step.kind === 'remove') harness.remove(step.ids);
    if (step.kind === 'ack') harness.ack(recent(step.claim));
    if (step.kind === 'release') harness.release(recent(step.claim));
    if (step.kind === 'undelivered') harness.release(recent(step.claim), step.kind);
    if (step.kind === 'requeue') harness.requeue(step.task, step.ids);
    if (step.kind === 'reset') harness.reset(step.task);
    if (step.kind === 'skip') harness.skip(step.task, step.fields, step.ids);
    if (step.kind === 'declare') harness.declare({ tasks: step.tasks });
    if (step.kind === 'advance') harness.advance(step.ms);
    if (step.kind === 'seal') harness.seal();
    if (step.kind === 'claim') this.#claim(step.command);
  }

  /** The heads that could be served. */
  forgotten(): ClaimCommand[] {
    const heads = Array.from(this.waiters.lines.values(), ({ waiters }) => [...waiters][0].command);
    return heads.filter((command) => machine.decideClaim(this.harness.queue, command).kind !== 'wait');
  }

  #claim(command: ClaimCommand): void {
    const waiter = { command };
    if (hasLine(this.waiters, waiter) || this.harness.claim(command).kind === 'wait') {
      addClaimWaiter(this.waiters, waiter);
    }
  }

  #attempt({ command }: Parked): boolean {
    const { kind } = this.harness.claim(command);
    if (kind !== 'wait') this.ends.push(kind);
    return kind !== 'wait';
  }
}

function asJournaled(event: Exclude<Journaled, { type: 'declare' }>): JournalEvent {
  if (event.type === 'seal') return { type: 'seal', partition: 1 };
  if (event.type === 'delete') return { ...event, partition: 1, requestId: '' };
  if (event.type !== 'insert') return event;
  const columns = event.fields.map((field) => ({ field, regions: [] }));
  const batches = [{ rows: event.ids.length, ids: event.ids, columns }];
  const extent = { segment: 0, offset: 0, length: 0, blocks: new Uint8Array() };
  return { type: 'insert', partition: 1, requestId: '', ackClaim: event.ackClaim, extent, batches };
}

/** Whether a head was left waiting; tells how the waits ended. */
function run(sequence: Sequence, ignored?: Journaled['type']): Desk | 'forgotten' {
  const { groupSize, steps, sealed, stepsAfter } = sequence;
  const desk = new Desk(sequence, ignored);
  for (const step of [...steps, ...(sealed ? [{ kind: 'seal' } as const] : []), ...stepsAfter]) {
    desk.perform(step, groupSize);
    if (desk.forgotten().length > 0) return 'forgotten';
  }
  return desk;
}

const tried = fc.sample(sequences, { seed: 3, numRuns: 800 });

test('no head of a line waits for rows that are there', () => {
  const ends = new Set<string>();
  for (const sequence of tried) {
    const desk = run(sequence);
    if (desk === 'forgotten') expect.unreachable(JSON.stringify(sequence));
    else for (const end of desk.ends) ends.add(end);
  }
  expect([...ends].sort()).toEqual(['drained', 'grant', 'refuse']);
});

test.each(['insert', 'release', 'requeue', 'reset', 'skip', 'ack', 'claim', 'delete', 'seal'] as const)(
  'without a wake-up by %s one does',
  (type) => {
    expect(tried.some((sequence) => run(sequence, type) === 'forgotten')).toBe(true);
  },
);
