/**
 * Draws against a plain model, over random puts, tags, deletes and ends of claims; and whoever waits for what an event
 * brings is tried: no head of a line is left waiting that could be served. Some queues have hardly room for their
 * bitmaps, and some have as many filters as they can: then claims are refused, and nothing is made without room.
 */
import { limits } from '@transfer-queue/core/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JournalEvent } from '../../../server/journal/events.ts';
import { keepFilter, useFilter, type FilterUse } from '../../../server/queue/filters.ts';
import { machine, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { addClaimWaiter, createClaimWaiters, hasLine, wakeAfter } from '../../../server/queue/waiters.ts';
import { runs } from '../sampler/table.ts';
import { DrawModel, type Drawn, type Tagged } from './draw_model.ts';
import { createPlainBitmaps, type PlainBitmaps } from './plain_bitmaps.ts';

const ROWS = 12;
const NUMBERS = ['length', 'priority', 'version', 'of'];
const partition = 1;
const bitsMax = 8;

type Step =
  | { readonly kind: 'put'; readonly ids: number[]; readonly fields: number[]; readonly tags: Tagged | null }
  | { readonly kind: 'tag'; readonly ids: number[]; readonly tags: Tagged }
  | { readonly kind: 'remove'; readonly ids: number[] }
  | { readonly kind: 'claim'; readonly command: ClaimCommand; readonly waits: boolean }
  | { readonly kind: 'ack' | 'release'; readonly claim: number }
  | { readonly kind: 'advance'; readonly by: number }
  | { readonly kind: 'leave'; readonly bytes: number }
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
    sampler: fc.constantFrom('fifo', 'group', 'group', 'priority', 'weighted'),
    seed: fc.nat(3),
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
        fc.record({ by: fc.constant('of'), survivorsMin: fc.integer({ min: 1, max: 2 }), waitMs: fc.constant(0) }),
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
    const by = all.sampler === 'weighted' ? 'priority' : undefined;
    return { ...all, by, group: all.sampler === 'group' ? all.group : undefined, ...chosen };
  });

const claim = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), ids, fields, tags: fc.option(tags) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('tag' as const), ids, tags }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), ids }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('claim' as const), command, waits: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('ack' as const, 'release' as const), claim }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), by: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), bytes: fc.nat(6) }) },
);
const sequences = fc.record({
  groupSize: fc.constantFrom(1, 2, 3),
  bytesMax: fc.oneof(fc.constant(Infinity), fc.integer({ min: 24, max: 40 })),
  filtersMax: fc.constantFrom(limits.filtersPerPartitionMax, 2, 1),
  steps: fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
  stepsAfter: fc.array(step, { maxLength: 20, size: 'max' }),
});

interface Sequence {
  readonly groupSize: number;
  /** Room for bitmaps. */
  readonly bytesMax: number;
  /** As many as nobody keeps in use all the time. */
  readonly filtersMax: number;
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

  readonly #bitmaps: PlainBitmaps;
  /** Bitmaps of other partitions. */
  #others: number[] = [];
  readonly #ignored: JournalEvent['type'] | undefined;

  constructor({ groupSize, bytesMax, filtersMax }: Sequence, ignored?: JournalEvent['type']) {
    this.#ignored = ignored;
    this.#bitmaps = createPlainBitmaps(2, bitsMax, bytesMax);
    this.#queue = machine.create({ partition, groupSize, bitmaps: this.#bitmaps, settings: { numbers: NUMBERS } });
    this.#model = new DrawModel(groupSize, filtersMax);
    for (let kept = limits.filtersPerPartitionMax; kept > filtersMax; kept -= 1) {
      keepFilter(useFilter(this.#queue, `length == ${kept}`) as FilterUse);
    }
  }

  perform(step: Step): void {
    if (step.kind === 'put') this.#put(step.ids, step.fields, step.tags);
    if (step.kind === 'tag') this.#tag(step.ids, step.tags);
    if (step.kind === 'remove') this.#remove(step.ids);
    if (step.kind === 'advance') this.#happen({ type: 'advance', partition, version: this.#model.version + step.by });
    if (step.kind === 'leave') this.#leave(step.bytes);
    if (step.kind === 'seal') this.#happen({ type: 'seal', partition });
    if (step.kind === 'claim') this.#claim(step.command, step.waits);
    if (step.kind === 'ack' || step.kind === 'release') this.#end(step.kind, step.claim);
    for (const { waiters } of [...this.#waiters.lines.values()]) {
      const [head] = waiters;
      // Others that were tried here may have served it.
      const end = head === undefined ? 'wait' : this.#attempt(head.command);
      if (end !== 'wait' && end !== 'full') throw new Forgotten(JSON.stringify({ step, head }));
    }
    this.#checkFilters();
  }

  close(): void {
    this.#leave(Infinity);
    machine.drop(this.#queue);
    expect(this.#bitmaps.bitsAlive()).toBe(0);
  }

  /** Other partitions take all room but so much. */
  #leave(bytes: number): void {
    for (const bitmap of this.#others) this.#bitmaps.free(bitmap, bitsMax);
    this.#others = [];
    if (this.#bitmaps.bytesFree() === Infinity) return;
    while (this.#bitmaps.bytesFree() >= bytes + 1) this.#others.push(this.#bitmaps.alloc(bitsMax));
  }

  /** Bitmaps are of filters in use: nobody would free those of others. */
  #checkFilters(): void {
    const { filters, slots } = this.#queue;
    for (const use of slots.pages.flatMap((page) => [...page.filters.keys()])) expect(filters.get(use.key)).toBe(use);
  }

  #put(given: readonly number[], fieldIds: readonly number[], patch: Tagged | null): void {
    const known = new Set(this.#model.rows().map(({ id }) => id));
    const list = this.#model.sealed ? given.filter((id) => known.has(id)) : given;
    if (list.length === 0) return;
    const refusal = machine.decideInsert(this.#queue, { ids: Float64Array.from(list), fields: fieldIds });
    if (refusal?.code === 'memory_full') return;
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

  #remove(given: readonly number[]): void {
    this.#happen({ type: 'delete', partition, requestId: '', ids: Float64Array.from(given) });
  }

  #end(type: 'ack' | 'release', back: number): void {
    const number = [...this.#model.claims.keys()].at(-1 - back);
    if (number === undefined) return;
    const end = { partition, claim: number, requestId: '' };
    // A row of it was deleted and came again.
    if (type === 'ack' && machine.decideAck(this.#queue, end).kind === 'refuse') return;
    this.#happen(type === 'ack' ? { type, ...end } : { type, ...end, reason: 'released' });
  }

  #claim(asked: ClaimCommand, waits: boolean): void {
    if (waits && hasLine(this.#waiters, { command: asked })) return addClaimWaiter(this.#waiters, { command: asked });
    if (this.#attempt(asked) === 'wait' && waits) addClaimWaiter(this.#waiters, { command: asked });
  }

  #attempt(asked: ClaimCommand): Drawn['kind'] | 'full' {
    const decision = this.#decide(asked);
    if (decision.kind === 'refuse' && decision.code === 'memory_full') {
      this.ends.add('full');
      return 'full';
    }
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

  /** Warm filters are evaluated for a page in a step, and for none by the decision, nor by the counts of who waits. */
  #decide(asked: ClaimCommand): ReturnType<typeof machine.decideClaim> {
    const { pages } = this.#queue.slots;
    const evaluated = (): Set<string> =>
      new Set(pages.flatMap((page) => [...page.filters.keys()].map(({ key }) => `${page.number} ${key}`)));
    const madeSince = (before: Set<string>): string[] => [...evaluated()].filter((one) => !before.has(one));
    for (const steps = machine.warmClaim(this.#queue, asked); ;) {
      const before = evaluated();
      const { done } = steps.next();
      const pagesMade = new Set(madeSince(before).map((one) => Number.parseInt(one, 10)));
      expect(pagesMade.size).toBeLessThanOrEqual(1);
      if (done === true) break;
    }
    const warm = evaluated();
    const decision = machine.decideClaim(this.#queue, asked, 0);
    if (decision.kind === 'wait') machine.countClaim(this.#queue, asked, 0);
    expect(madeSince(warm), JSON.stringify(asked)).toEqual([]);
    return decision;
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
      case 'delete':
        machine.applyDelete(queue, event.ids);
        return model.remove([...event.ids]);
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

function run(sequence: Sequence, ignored?: JournalEvent['type']): World {
  const world = new World(sequence, ignored);
  for (const each of [...sequence.steps, { kind: 'seal' } as const, ...sequence.stepsAfter]) world.perform(each);
  world.close();
  return world;
}

test('claims draw what the model draws, and no head of a line is forgotten', () => {
  const ends = new Set<string>();
  const property = fc.property(sequences, (sequence) => {
    for (const end of run(sequence).ends) ends.add(end);
  });
  fc.assert(property, { ...runs, numRuns: Math.ceil(runs.numRuns * 0.4) });
  expect([...ends].sort()).toEqual(['drained', 'full', 'grant', 'refuse', 'skip', 'wait']);
});

test.each(['insert', 'tag', 'delete', 'release', 'seal'] as const)('without a wake-up by %s one is', (type) => {
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
