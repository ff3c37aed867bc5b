/**
 * Tags, numbers and filters beside a model of plain objects: random puts, tags, deletes, declarations and filters, on a
 * queue that is saved bit by bit and now and then loaded again. Some events are applied as in a replay that leaves out
 * what a crash took: nobody decides about them as the rows are now. Some patches are read a step early, as those of
 * many rows are.
 *
 * SEED=n and RUNS=n in the environment choose other sequences.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { atOnce } from '../../../server/env/slice.ts';
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import {
  machine,
  ValueMemory,
  type Machine,
  type PartitionQueue,
  type TagChange,
} from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { tagsAt } from '../../../server/queue/values.ts';
import { offsetOf, pageOf, slotOf } from '../../../server/queue/slots.ts';
import { compileFilter, parseFilter } from '../../../server/sampler/filter.ts';
import { isObject, valueAt, type Json, type JsonObject } from '../../../server/sampler/json.ts';
import { tagLimits } from '../../../server/sampler/merge_tags.ts';
import { runsOr, seedOr } from '../../support/runs.ts';
import { dump } from './dump.ts';
import { forget, type Forgotten } from './forget.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const seed = seedOr(20_250_301);
const numRuns = runsOr(300);
const ROWS = 12;
const names = ['status', 'step', 'reward', 'source', 'tq_key'];
const filters = [
  'status == "done"',
  'not exists status',
  'step >= 2',
  'reward > 0.5 or source.name in ["a", "b"]',
  'not (step < 2) and status != "done"',
  'exists tq_key',
];

type Step =
  | {
      readonly kind: 'put';
      readonly ids: number[];
      readonly patches: readonly (JsonObject | null)[];
      readonly early?: boolean;
    }
  | {
      readonly kind: 'tag';
      readonly ids: number[];
      readonly patches: readonly JsonObject[];
      readonly replayed?: boolean;
      readonly early?: boolean;
    }
  | { readonly kind: 'remove'; readonly ids: number[] }
  | { readonly kind: 'declare'; readonly name: string; readonly replayed: boolean }
  | { readonly kind: 'filter'; readonly text: string }
  | { readonly kind: 'save'; readonly units: number }
  | { readonly kind: 'restart' };

const ids = fc.uniqueArray(fc.nat(ROWS - 1), { minLength: 1, maxLength: 6 });
const values = fc.oneof(
  fc.constantFrom('done', 'a', '1e999', '', null, 1, 2, 3, 0.25, -0, true),
  fc.constantFrom({ name: 'a' }, { name: null }, { name: 'b', at: [1, null] }, {}),
) as fc.Arbitrary<Json>;
const early = fc.boolean();
const everyId = Array.from({ length: ROWS }, (_row, id) => id);
/** No row can have two of them unless a replay gives them to it. */
const large: fc.Arbitrary<JsonObject> = fc.constantFrom(
  ...['note', 'more'].flatMap((name) => [{ [name]: 'x'.repeat(3_000) }, { [name]: manyKeys(200) }, { [name]: null }]),
);
const patch: fc.Arbitrary<JsonObject> = fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 3 });
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('put' as const), ids, patches: manyOf(fc.option(patch)), early }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('tag' as const), ids, patches: manyOf(patch), early }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('tag' as const), ids, patches: patch.map((one) => [one]), early }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), ids }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('declare' as const),
      name: fc.constantFrom('step', 'reward', 'status'),
      replayed: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: large.map((one) => ({ kind: 'tag' as const, ids: everyId, patches: [one], replayed: true })),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('filter' as const), text: fc.constantFrom(...filters) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('save' as const), units: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);
const sequences = fc.record({
  groupSize: fc.constantFrom(1, 2, 3),
  numbers: fc.constantFrom([], ['reward']),
  steps: fc.array(steps, { minLength: 1, maxLength: 60, size: 'max' }),
});

interface Sequence {
  readonly groupSize: number;
  /** Declared from the beginning. */
  readonly numbers: readonly string[];
  readonly steps: readonly Step[];
}

/** As many as there can be ids. */
function manyOf<T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.array(one, { minLength: ROWS, maxLength: ROWS });
}

function manyKeys(count: number): JsonObject {
  return Object.fromEntries(Array.from({ length: count }, (_, key) => [`k${key}`, key]));
}

/** RFC 7396, as it is written there. */
function merged(target: Json | undefined, change: Json): Json {
  if (!isObject(change)) return change;
  const result: Record<string, Json> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(change)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function keyCount(value: Json): number {
  return isObject(value) ? Object.values(value).reduce((sum: number, one) => sum + 1 + keyCount(one), 0) : 0;
}

class World {
  readonly #machine: Machine;
  readonly #options: Parameters<typeof machine.create>[0];
  readonly #memory = new ValueMemory();
  readonly #rows = new Map<number, JsonObject>();
  #numbers: readonly string[];
  /** Of the step that is next. */
  #early: TagChange | undefined;
  #store = new RecordStore();
  #queue: PartitionQueue;

  constructor(broken: Machine, { groupSize, numbers }: Sequence, bitmaps: Bitmaps) {
    this.#machine = broken;
    this.#numbers = numbers;
    this.#options = { partition: 1, groupSize, bitmaps, values: this.#memory };
    this.#queue = broken.create({ ...this.#options, settings: { numbers } });
  }

  /** The step comes after the next one that is performed. */
  foresee(step: Step | undefined): TagChange | undefined {
    if (step === undefined || (step.kind !== 'put' && step.kind !== 'tag') || step.early !== true) return undefined;
    const change = this.#changeOf(step);
    return { ...change, drafts: atOnce(machine.draftTags(change, () => this.#queue)) };
  }

  perform(step: Step, early?: TagChange): void {
    this.#early = early;
    switch (step.kind) {
      case 'put':
        return this.#put(step.ids, step.patches);
      case 'tag':
        return this.#tag(step.ids, step.patches, step.replayed === true);
      case 'remove':
        for (const id of step.ids) this.#rows.delete(id);
        this.#machine.applyDelete(this.#queue, Float64Array.from(step.ids));
        return;
      case 'declare':
        return this.#declare(step.name, step.replayed);
      case 'filter':
        return this.#filter(step.text);
      case 'save':
        this.#store.save(this.#queue, step.units);
        return;
      case 'restart':
        return this.#restart();
    }
  }

  /** All tags are as the model says, and every filter that was used holds where it should. */
  compare(): void {
    for (const [id, tags] of this.#rows) {
      const slot = slotOf(this.#queue.slots, id);
      const page = pageOf(this.#queue.slots, slot)!;
      expect(tagsAt(this.#queue, page, offsetOf(this.#queue.slots, slot))).toEqual(tags);
    }
    for (const text of filters) this.#filter(text);
  }

  close(): void {
    machine.drop(this.#queue);
    expect(this.#memory.bytes).toBe(0);
  }

  #put(listed: readonly number[], patches: readonly (JsonObject | null)[]): void {
    const change = this.#early ?? this.#changeOf({ kind: 'put', ids: [...listed], patches });
    const expected = this.#refusal(listed, (i) => patches[i] ?? {});
    expect(machine.decideTags(this.#queue, change, { withPut: true })?.code).toBe(expected);
    if (expected !== undefined) return;
    this.#machine.applyInsert(this.#queue, { ids: change.ids, fields: [0] });
    this.#machine.applyTags(this.#queue, change);
    listed.forEach((id, i) => this.#merge(id, patches[i] ?? {}));
  }

  #tag(all: readonly number[], patches: readonly JsonObject[], replayed: boolean): void {
    const listed = replayed ? all.filter((id) => this.#rows.has(id)) : all;
    const of = (i: number): JsonObject => (patches.length === 1 ? patches[0] : patches[i]);
    const change = this.#early ?? this.#changeOf({ kind: 'tag', ids: [...listed], patches });
    const missing = listed.some((id) => !this.#rows.has(id));
    const expected = missing ? 'rows_missing' : this.#refusal(listed, of);
    expect(machine.decideTags(this.#queue, change, { withPut: false })?.code).toBe(expected);
    if (expected !== undefined && !replayed) return;
    this.#machine.applyTags(this.#queue, change);
    listed.forEach((id, i) => this.#merge(id, of(i)));
  }

  #changeOf({ ids: listed, patches }: Extract<Step, { kind: 'put' | 'tag' }>): TagChange {
    const given = patches.length === 1 ? patches : patches.slice(0, listed.length);
    const tags = given.map((one) => (one === null ? '' : JSON.stringify(one)));
    return { ids: Float64Array.from(listed), tags };
  }

  #merge(id: number, change: JsonObject): void {
    this.#rows.set(id, JSON.parse(JSON.stringify(merged(this.#rows.get(id), change))) as JsonObject);
  }

  /** Of the first row that can not have its patch. */
  #refusal(listed: readonly number[], of: (place: number) => JsonObject): string | undefined {
    for (const [place, id] of listed.entries()) {
      const { tq_key: key, ...others } = of(place);
      if (key !== undefined && typeof key !== 'string') return 'tags_invalid';
      const isNumber = (value: Json): boolean => value === null || typeof value === 'number';
      if (this.#numbers.some((name) => others[name] !== undefined && !isNumber(others[name]))) return 'tags_invalid';
      const keyBefore = this.#rows.get(id)?.tq_key;
      if (key !== undefined && keyBefore !== undefined && key !== keyBefore) return 'key_collision';
      const before = this.#tagsOnly(this.#rows.get(id) ?? {});
      const after = this.#tagsOnly(merged(before, of(place)) as JsonObject);
      const isTooLarge = JSON.stringify(after).length > tagLimits.bytesMax || keyCount(after) > tagLimits.keysMax;
      if (isTooLarge && JSON.stringify(after) !== JSON.stringify(before)) return 'tags_invalid';
    }
    return undefined;
  }

  /** Without the declared numbers. */
  #tagsOnly(tags: JsonObject): JsonObject {
    return Object.fromEntries(Object.entries(tags).filter(([name]) => !this.#numbers.includes(name)));
  }

  #declare(name: string, replayed: boolean): void {
    if (this.#numbers.includes(name)) return;
    const bad = [...this.#rows].filter(([, tags]) => Object.hasOwn(tags, name) && typeof tags[name] !== 'number');
    const found = machine.findNoNumber(this.#queue, [name]);
    expect(found === undefined).toBe(bad.length === 0);
    if (found !== undefined) {
      expect(bad.map(([id]) => id)).toContain(found.id);
      if (!replayed) return;
    }
    // What is no number goes.
    for (const [id, { [name]: _, ...others }] of bad) this.#rows.set(id, others);
    this.#numbers = [...this.#numbers, name];
    this.#machine.applyDeclare(this.#queue, { numbers: this.#numbers });
    // No filter is in use during a replay.
    if (bad.length > 0) this.#restart();
  }

  #filter(text: string): void {
    const use = machine.useFilter(this.#queue, text);
    if ('code' in use) throw new Error(use.code);
    const { ids: found } = machine.listRows(this.#queue, { where: use, from: 0, rowsMax: ROWS });
    const holds = compileFilter(parseFilter(text));
    const expected = [...this.#rows].filter(([, tags]) => holds((name) => valueAt(tags, name))).map(([id]) => id);
    expect(found.sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
  }

  #restart(): void {
    this.#store.saveAll(this.#queue);
    const loaded = this.#store.load({ ...this.#options, settings: { numbers: this.#numbers } });
    expect(dump(loaded)).toEqual(dump(this.#queue));
    machine.drop(this.#queue);
    this.#queue = loaded;
  }
}

function run(broken: Machine, bitmaps: Bitmaps, sequence: Sequence): void {
  const world = new World(broken, sequence, bitmaps);
  let early: TagChange | undefined;
  for (const [at, step] of sequence.steps.entries()) {
    const next = world.foresee(sequence.steps[at + 1]);
    world.perform(step, early);
    early = next;
  }
  world.compare();
  world.perform({ kind: 'restart' });
  world.compare();
  world.close();
}

const wasm = createBitmaps(loadCore());
const memories: Record<string, () => Bitmaps> = {
  'core.wasm': () => wasm,
  'short pages': () => createPlainBitmaps(2, 8),
};

test.each(Object.keys(memories))(`tags are as the model says, seed ${seed}, on %s`, (name) => {
  fc.assert(
    fc.property(sequences, (sequence) => run(machine, memories[name](), sequence)),
    { seed, numRuns },
  );
});

describe('marks that are forgotten are missed', () => {
  const changing: readonly Forgotten[] = [
    'applyTags tags',
    'applyTags numbers',
    'applyDelete tags',
    'applyDelete numbers',
    'applyDeclare tags',
    'applyDeclare numbers',
  ];
  const tried = fc.sample(sequences, { seed, numRuns });

  test.each(changing)('%s', (what) => {
    const broken = forget(what);
    expect(() => {
      for (const sequence of tried) run(broken, createPlainBitmaps(2, 8), sequence);
    }).toThrow();
  });
});
