/**
 * Draws against a plain model, over random puts, tags and ends of claims; and whoever waits for what an event brings is
 * tried: no head of a line is left waiting that could be served.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JournalEvent } from '../../../server/journal/events.ts';
import { machine, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { addClaimWaiter, createClaimWaiters, hasLine, wakeAfter } from '../../../server/queue/waiters.ts';
import { runs } from '../sampler/table.ts';
import { DrawModel, type Drawn, type Tagged } from './draw_model.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

const ROWS = 12;
const NUMBERS = ['length', 'priority', 'version', 'of'];
const partition = 1;
const bitmaps = createPlainBitmaps(2, 8);

type Step =
  | { readonly kind: 'put'; readonly ids: number[]; readonly fields: number[]; readonly tags: Tagged | null }
  | { readonly kind: 'tag'; readonly ids: number[]; readonly tags: Tagged }
  | { readonly kind: 'claim'; readonly command: ClaimCommand; readonly waits: boolean }
  | { readonly kind: 'ack' | 'release'; readonly claim: number }
  | { readonly kind: 'advance'; readonly by: number }
  | { readonly kind: 'seal' };

const ids = fc.uniqueArray(fc.nat(ROWS - 1), { minLength: 1, maxLength: 6 });
const fields = fc.uniqueArray(fc.nat(1), { minLength: 1 });
const number = fc.option(fc.nat(4));
const tags: fc.Arbitrary<Tagged> = fc.record(
  { ok: fc.option(fc.boolean()), length: number, priority: number, version: number, of: fc.option(fc.nat(2)) },
  { requiredKeys: [] },
);
const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 3 });

const command: fc.Arbitrary<ClaimCommand> = fc
  .record({
    task: fc.constant('t'),
    fields,
    rowsMax: fc.integer({ min: 1, max: 6 }),
    rowsMin: fc.integer({ min: 1, max: 6 }),
    eager: fc.boolean(),
    sampler: fc.constantFrom('fifo', 'group', 'group', 'priority'),
    where: some(fc.constant('ok == true')),
    tokens: some(fc.record({ max: fc.integer({ min: 1, max: 9 }), by: fc.constant('length') })),
    window: some(
      fc.record({
        by: fc.constant('version'),
        minVersion: some(fc.nat(3)),
        maxStaleness: fc.nat(2),
        onStale: fc.constantFrom('keep' as const, 'skip' as const),
      }),
    ),
    group: some(
      fc.oneof(
        fc.record({ by: fc.constant('of'), waitMs: fc.constant(0) }),
        fc.record({ survivorsMin: fc.integer({ min: 1, max: 2 }), waitMs: fc.constant(0) }),
      ),
    ),
    ids: some(ids.map((list) => Float64Array.from(list))),
    leaseMs: fc.constant(100),
    autoAck: fc.constant(false),
    requestId: fc.constant(''),
  })
  .map((all) => {
    const rowsMin = Math.min(all.rowsMin, all.rowsMax);
    const isPlain = all.sampler === 'fifo' && all.tokens === undefined;
    const chosen =
      isPlain && all.ids !== undefined
        ? { ids: all.ids, rowsMax: all.ids.length, rowsMin: 1 }
        : { ids: undefined, rowsMin };
    return { ...all, group: all.sampler === 'group' ? all.group : undefined, ...chosen };
  });

const claim = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), ids, fields, tags: fc.option(tags) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('tag' as const), ids, tags }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('claim' as const), command, waits: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('ack' as const, 'release' as const), claim }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), by: fc.nat(2) }) },
);
const sequences = fc.record({
  groupSize: fc.constantFrom(1, 2, 3),
  steps: fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
  stepsAfter: fc.array(step, { maxLength: 20, size: 'max' }),
});

interface Sequence {
  readonly groupSize: number;
  readonly steps: readonly Step[];
  readonly stepsAfter: readonly Step[];
}

interface Parked {
  readonly command: ClaimCommand;
}

/** A head of a line was left waiting that could be served. */
class Forgotten extends Error {}

class World {
  readonly ends = new Set<string>();
  readonly #queue: PartitionQueue;
  readonly #model: DrawModel;
  readonly #waiters = createClaimWaiters<Parked>();
  #claimNext = 1;

  readonly #ignored: JournalEvent['type'] | undefined;

  constructor(groupSize: number, ignored?: JournalEvent['type']) {
    this.#ignored = ignored;
    this.#queue = machine.create({ partition, groupSize, bitmaps, settings: { numbers: NUMBERS } });
    this.#model = new DrawModel(groupSize);
  }

  perform(step: Step): void {
    if (step.kind === 'put') this.#put(step.ids, step.fields, step.tags);
    if (step.kind === 'tag') this.#tag(step.ids, step.tags);
    if (step.kind === 'advance') this.#happen({ type: 'advance', partition, version: this.#model.version + step.by });
    if (step.kind === 'seal') this.#happen({ type: 'seal', partition });
    if (step.kind === 'claim') this.#claim(step.command, step.waits);
    if (step.kind === 'ack' || step.kind === 'release') this.#end(step.kind, step.claim);
    for (const { waiters } of [...this.#waiters.lines.values()]) {
      const [{ command: head }] = waiters;
      if (this.#attempt(head) !== 'wait') throw new Forgotten(JSON.stringify({ step, head }));
    }
  }

  close(): void {
    machine.drop(this.#queue);
  }

  #put(given: readonly number[], fieldIds: readonly number[], patch: Tagged | null): void {
    const known = new Set(this.#model.rows().map(({ id }) => id));
    const list = this.#model.sealed ? given.filter((id) => known.has(id)) : given;
    if (list.length === 0) return;
    const columns = fieldIds.map((field) => ({ field, regions: [] }));
    const batches = [{ rows: list.length, ids: Float64Array.from(list), columns }];
    const extent = { segment: 0, offset: 0, length: 0, blocks: new Uint8Array() };
    const texts = patch === null ? undefined : list.map(() => JSON.stringify(patch));
    this.#happen({ type: 'insert', partition, requestId: '', ackClaim: 0, extent, batches, tags: texts });
  }

  #tag(given: readonly number[], patch: Tagged): void {
    const known = new Set(this.#model.rows().map(({ id }) => id));
    const list = given.filter((id) => known.has(id));
    if (list.length === 0) return;
    const event = { type: 'tag', partition, requestId: '', ids: Float64Array.from(list) } as const;
    this.#happen({ ...event, tags: [JSON.stringify(patch)] });
  }

  #end(type: 'ack' | 'release', back: number): void {
    const number = [...this.#model.claims.keys()].at(-1 - back);
    if (number === undefined) return;
    const end = { partition, claim: number, requestId: '' };
    this.#happen(type === 'ack' ? { type, ...end } : { type, ...end, reason: 'released' });
  }

  #claim(asked: ClaimCommand, waits: boolean): void {
    if (waits && hasLine(this.#waiters, { command: asked })) return addClaimWaiter(this.#waiters, { command: asked });
    if (this.#attempt(asked) === 'wait' && waits) addClaimWaiter(this.#waiters, { command: asked });
  }

  #attempt(asked: ClaimCommand): Drawn['kind'] {
    const decision = machine.decideClaim(this.#queue, asked, 0);
    const expected = this.#model.expectClaim(asked);
    expect(shapeOf(decision), JSON.stringify(asked)).toEqual(expected);
    this.ends.add(expected.kind);
    if (decision.kind === 'skip') {
      this.#happen({ type: 'skip', partition, task: 't', fields: asked.fields, ids: decision.ids });
      return this.#attempt(asked);
    }
    if (decision.kind === 'grant') {
      const { ids: granted, attempts } = decision;
      const number = this.#claimNext++;
      const event = { type: 'claim', partition, requestId: '', epoch: 1, task: 't', claim: number } as const;
      this.#happen({ ...event, fields: asked.fields, ids: granted, attempts, leaseMs: 100, autoAck: false });
    }
    return decision.kind;
  }

  /** Applies an event to both, and tries whom it may let through. */
  #happen(event: JournalEvent): void {
    this.#apply(event);
    if (event.type === this.#ignored) return;
    wakeAfter(this.#waiters, this.#queue, event, (waiter) => this.#attempt(waiter.command) !== 'wait');
  }

  #apply(event: JournalEvent): void {
    const queue = this.#queue;
    const model = this.#model;
    switch (event.type) {
      case 'insert': {
        const [{ ids: list, columns }] = event.batches;
        const fieldIds = columns.map(({ field }) => field);
        machine.applyInsert(queue, { ids: list, fields: fieldIds });
        model.put([...list], fieldIds);
        if (event.tags === undefined) return;
        machine.applyTags(queue, { ids: list, tags: event.tags });
        return model.tag([...list], JSON.parse(event.tags[0]) as Tagged);
      }
      case 'tag':
        machine.applyTags(queue, event);
        return model.tag([...event.ids], JSON.parse(event.tags[0]) as Tagged);
      case 'claim':
        machine.applyClaim(queue, event, 0);
        return model.claim(event.claim, [...event.ids]);
      case 'skip':
        machine.applySkip(queue, event);
        return model.skip([...event.ids]);
      case 'ack':
        machine.applyAck(queue, event);
        return model.end(event.claim, 'ack');
      case 'release':
        machine.applyRelease(queue, event);
        return model.end(event.claim, 'release');
      case 'advance':
        machine.applyAdvance(queue, event);
        model.version = event.version;
        return;
      case 'seal':
        machine.applySeal(queue);
        model.sealed = true;
        return;
      default:
        throw new Error(`no step makes a ${event.type} event`);
    }
  }
}

function shapeOf(decision: ReturnType<typeof machine.decideClaim>): Drawn {
  switch (decision.kind) {
    case 'grant':
      return { ...decision, ids: [...decision.ids], attempts: [...decision.attempts] };
    case 'skip':
      return { kind: 'skip', ids: [...decision.ids] };
    case 'refuse':
      return { kind: 'refuse', code: decision.code };
    default:
      return { kind: decision.kind };
  }
}

function run({ groupSize, steps, stepsAfter }: Sequence, ignored?: JournalEvent['type']): World {
  const world = new World(groupSize, ignored);
  try {
    for (const each of [...steps, { kind: 'seal' } as const, ...stepsAfter]) world.perform(each);
  } finally {
    world.close();
  }
  return world;
}

test('claims draw what the model draws, and no head of a line is forgotten', () => {
  const ends = new Set<string>();
  const property = fc.property(sequences, (sequence) => {
    for (const end of run(sequence).ends) ends.add(end);
  });
  fc.assert(property, { ...runs, numRuns: Math.ceil(runs.numRuns * 0.4) });
  expect([...ends].sort()).toEqual(['drained', 'grant', 'refuse', 'skip', 'wait']);
  expect(bitmaps.bitsAlive()).toBe(0);
});

test.each(['insert', 'tag', 'release', 'seal'] as const)('without a wake-up by %s one is', (type) => {
  const isForgotten = (sequence: Sequence): boolean => {
    try {
      run(sequence, type);
      return false;
    } catch (error) {
      if (error instanceof Forgotten) return true;
      throw error;
    }
  };
  expect(fc.sample(sequences, { seed: 5, numRuns: 400 }).some(isForgotten)).toBe(true);
});
